import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer
from keras_audio_vae.layers.quantizers.commitment import OUTLIER
from keras_audio_vae.layers.quantizers.evenness import unevenness
from keras_audio_vae.layers.quantizers.tokens import as_tokens

RNG = np.random.default_rng(11)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def training_step(quantizer):
    return tf.function(lambda inputs: quantizer(inputs, training=True), autograph=False)


def state(layer):
    return [weight.numpy() for weight in layer.weights]


def assert_untouched(layer, before):
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value, err_msg=weight.path)


CLASSIC = {"kmeans_init": True, "restart_threshold": 0.15, "conscience": 0.0}  # nearest codes, as in the papers


def ready(**arguments):
    """A quantizer of 8 codes that has seen a few batches."""
    quantizer = VectorQuantizer(**{"codebook_size": 8, "dim": 4, **CLASSIC, "kmeans_init": False, **arguments})
    for number in range(6):
        quantizer(tf.constant(noise(2, 20, 4, seed=number)), training=True)
    return quantizer


EVERY = {
    "ema": lambda: VectorQuantizer(8, 4, **CLASSIC),
    "gradient": lambda: VectorQuantizer(
        8, 4, update="gradient", code_dim=2, normalize=True, evenness_weight=0.1, conscience=0.0
    ),
    "residual": lambda: ResidualVectorQuantizer(2, 8, 4, quantizer_dropout=0.5, **CLASSIC),
    "scalar": lambda: FiniteScalarQuantizer(4, levels=[3, 4]),
}


@functools.cache
def trained_weights(kind):
    quantizer = EVERY[kind]()
    for number in range(9):
        quantizer(tf.constant(noise(2, 20, 4, seed=number)), training=True)
    return state(quantizer)


@pytest.fixture(params=EVERY)
def used(request):
    """Each kind of quantizer after a few steps."""
    quantizer = EVERY[request.param]()
    quantizer.set_weights(trained_weights(request.param))
    return quantizer


def test_vectors_are_those_of_the_nearest_codes_and_what_decode_gives(used):
    inputs = tf.constant(noise(3, 7, 4, seed=9))
    quantized = used(inputs)
    np.testing.assert_array_equal(quantized.codes, used.encode(inputs))
    np.testing.assert_allclose(quantized.vectors, used.decode(quantized.codes), atol=1e-5)
    assert quantized.codes.dtype == tf.int32 and quantized.vectors.dtype == tf.float32
    assert tuple(quantized.losses) == used.loss_names and tuple(quantized.measures) == used.measure_names
    for measure in quantized.measures.values():
        assert measure.shape == [len(used.codebook_sizes)] and measure.dtype == tf.float32
    assert [use.shape[0] for use in used.usage] == list(used.codebook_sizes)
    for book, size in enumerate(used.codebook_sizes):
        assert 0 <= np.min(quantized.codes[..., book]) <= np.max(quantized.codes[..., book]) < size


def test_nothing_moves_in_evaluation_nor_when_it_is_frozen(used):
    before, inputs = state(used), tf.constant(noise(2, 20, 4, seed=50))
    used(inputs)
    used.trainable = False
    used(inputs, training=True)
    assert_untouched(used, before)
    used.trainable = True
    used(inputs, training=True)
    assert any((weight.numpy() != value).any() for weight, value in zip(used.weights, before, strict=True))


@pytest.mark.parametrize("shape", [(0, 5, 4), (2, 0, 4)])
def test_an_empty_batch_is_quantised_and_moves_nothing(used, shape):
    before = state(used)
    quantized = used(tf.zeros(shape), training=True)
    assert quantized.vectors.shape == shape and quantized.codes.shape[:2] == shape[:2]
    for value in (*quantized.losses.values(), *quantized.measures.values()):
        assert np.isfinite(value).all()
    assert used.decode(used.encode(tf.zeros(shape))).shape == shape
    assert_untouched(used, before)


def test_padding_neither_counts_nor_trains(used):
    inputs = noise(2, 20, 4, seed=60)
    mask = (np.arange(20) < np.array([20, 7])[:, None]).astype(np.float32)
    other = np.where(mask[..., None] > 0, inputs, 1e6).astype(np.float32)
    before = state(used)
    first = used(tf.constant(inputs), tf.constant(mask), training=True)
    moved = state(used)
    for weight, value in zip(used.weights, before, strict=True):
        weight.assign(value)
    second = used(tf.constant(other), tf.constant(mask), training=True)
    assert_untouched(used, moved)
    for name in used.loss_names:
        np.testing.assert_allclose(first.losses[name], second.losses[name], rtol=1e-5)
    for name in used.measure_names:
        np.testing.assert_allclose(first.measures[name], second.measures[name], rtol=1e-5)


@pytest.mark.parametrize(("value", "compiled"), [(np.nan, False), (np.inf, False), (np.nan, True)])
def test_what_is_not_finite_is_refused_by_name_and_moves_nothing(used, value, compiled):
    before, inputs = state(used), noise(2, 20, 4)
    inputs[1, 3, 2] = value
    train = training_step(used) if compiled else lambda batch: used(batch, training=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"Quantizer {used.name}.*not finite"):
        train(tf.constant(inputs))
    assert_untouched(used, before)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_inputs_and_single_tokens_stay_finite(used, value):
    for inputs in (tf.fill([2, 20, 4], value), tf.fill([1, 1, 4], value)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            quantized = used(inputs, training=True)
            total = tf.reduce_sum(quantized.vectors) + sum(quantized.losses.values())
        for part in (*quantized.losses.values(), *quantized.measures.values(), tape.gradient(total, inputs)):
            assert np.isfinite(part).all()
    assert all(np.isfinite(values).all() for values in state(used))


def test_it_computes_in_float32_under_a_bfloat16_policy():
    inputs = noise(2, 20, 4, seed=3)
    for make in EVERY.values():
        exact = make()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            short = make()
        finally:
            keras.config.set_dtype_policy("float32")
        rounded = tf.cast(inputs, tf.bfloat16)
        for layer, batch in ((exact, tf.cast(rounded, tf.float32)), (short, rounded)):
            with tf.GradientTape() as tape:
                tape.watch(batch)
                quantized = layer(batch, training=True)
                total = tf.reduce_sum(tf.square(quantized.vectors)) + sum(quantized.losses.values())
            assert tape.gradient(total, batch).dtype == batch.dtype
        assert quantized.vectors.dtype == tf.float32
        for a, b in zip(exact.weights, short.weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(short.encode(rounded), exact.encode(tf.cast(rounded, tf.float32)))


def losses_and_gradient(quantizer, inputs, name):
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        quantized = quantizer(inputs)
        loss = quantized.losses[name]
    return quantized, float(loss), tape.gradient(loss, [inputs, quantizer.codebook.vectors.value])


def test_commitment_is_the_relative_error_and_pulls_encodings_to_their_codes():
    quantizer, inputs = ready(commitment_weight=0.5), noise(2, 20, 4, seed=30)
    quantized, loss, (gradient, _) = losses_and_gradient(quantizer, inputs, "commitment")
    weight = 0.5 / quantizer.running_variance.value(0.0).numpy()
    errors = inputs - quantized.vectors.numpy()
    assert float(quantized.measures["commitment_weight"][0]) == pytest.approx(weight)
    assert loss == pytest.approx(weight * np.mean(errors**2), rel=1e-5)
    np.testing.assert_allclose(gradient, weight * 2.0 * errors / errors.size, rtol=1e-4, atol=1e-8)
    relative = np.mean(errors**2) / np.mean(np.var(inputs.reshape(-1, 4), axis=0))
    assert float(quantized.measures["error"][0]) == pytest.approx(relative, rel=1e-4)


def test_codebook_loss_pulls_codes_to_their_tokens():
    quantizer, inputs = ready(update="gradient", commitment="constant"), noise(2, 20, 4, seed=31)
    quantized, loss, (of_inputs, of_codes) = losses_and_gradient(quantizer, inputs, "codebook")
    errors = quantized.vectors.numpy() - inputs
    assert loss == pytest.approx(np.mean(errors**2), rel=1e-5) and of_inputs is None
    expected = np.zeros([8, 4])
    np.add.at(expected, quantized.codes.numpy().ravel(), 2.0 * errors.reshape(-1, 4) / errors.size)
    np.testing.assert_allclose(of_codes, expected, rtol=1e-4, atol=1e-7)


@functools.cache
def settled_losses(scale, **options):
    """Losses of a quantizer that was trained on inputs of a scale, and its gradient times that scale."""
    quantizer = VectorQuantizer(8, 4, **{**CLASSIC, **options})
    step = training_step(quantizer)
    for number in range(80):
        step(tf.constant(scale * noise(2, 20, 4, seed=number % 20)))
    inputs = tf.constant(scale * noise(2, 20, 4, seed=90))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        losses = quantizer(inputs).losses
        total = sum(losses.values())
    return np.array(list(losses.values())), scale * tape.gradient(total, inputs).numpy()


@pytest.mark.parametrize("gain", [0.25, 4.0])
def test_adaptive_commitment_does_not_know_the_scale(gain):
    losses, gradient = settled_losses(1.0, evenness_weight=0.1)
    scaled, scaled_gradient = settled_losses(gain, evenness_weight=0.1)
    np.testing.assert_allclose(scaled, losses, rtol=1e-3)
    np.testing.assert_allclose(scaled_gradient, gradient, rtol=1e-2, atol=1e-5)


def test_one_token_far_from_all_others_does_not_make_the_loss():
    quantizer = ready()
    usual, loud = noise(2, 20, 4, seed=1), noise(2, 20, 4, seed=1)
    loud[0, 0] = 30.0
    before, after = (float(quantizer(tf.constant(x)).losses["commitment"]) for x in (usual, loud))
    assert after < before + 0.25 * 1.1 * OUTLIER / 40


def test_constant_commitment_grows_as_the_square_of_the_scale():
    (one,), (four,) = (settled_losses(scale, commitment="constant")[0] for scale in (1.0, 4.0))
    assert four == pytest.approx(16.0 * one, rel=1e-3)


def test_a_change_of_scale_is_followed_in_a_few_steps():
    quantizer = ready()
    step = training_step(quantizer)
    for number in range(30):
        weight = float(step(tf.constant(4.0 * noise(2, 20, 4, seed=number))).measures["commitment_weight"][0])
    assert weight == pytest.approx(0.25 / 16.0, rel=0.15)


def test_unevenness_is_that_of_the_definition():
    rows, codebook, mask = noise(30, 4), noise(8, 4, seed=1), RNG.integers(0, 2, 30).astype(np.float32)
    tokens = as_tokens(tf.constant(rows)[tf.newaxis], tf.constant(mask)[tf.newaxis])
    distances = ((rows[:, None] - codebook) ** 2).sum(-1)[mask > 0]
    chances = np.exp(-distances / 0.7)
    chances /= chances.sum(1, keepdims=True)
    of_each = -(chances * np.log(chances)).sum(1).mean()
    mean = chances.mean(0)
    expected = of_each + (mean * np.log(mean)).sum()
    found = unevenness(tf.constant(rows), tf.constant(codebook), tokens, tf.constant(0.7))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_evenness_draws_encodings_to_codes_that_are_not_used():
    quantizer = VectorQuantizer(8, 2, kmeans_init=False, evenness_weight=1.0)
    angles = 2 * np.pi * np.arange(8) / 8
    quantizer.codebook.vectors.assign(np.stack([np.cos(angles), np.sin(angles)], -1))
    encodings = tf.Variable([[[1.0, 0.0]]] + 0.3 * noise(1, 60, 2))

    def entropy():
        shares = np.bincount(quantizer.encode(encodings).numpy().ravel(), minlength=8) / 60
        return -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))

    @tf.function(autograph=False)
    def descend():
        with tf.GradientTape() as tape:
            loss = quantizer(encodings.read_value()).losses["evenness"]
        encodings.assign_sub(0.5 * tape.gradient(loss, encodings))
        return loss

    before, first = entropy(), float(descend())
    for _ in range(100):
        last = float(descend())
    assert last < first - 0.2 and entropy() > before + 0.2


def test_gradient_of_vectors_goes_straight_to_the_inputs():
    quantizer, inputs, weights = ready(), tf.constant(noise(2, 20, 4)), noise(2, 20, 4, seed=5)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(quantizer(inputs).vectors * weights)
    np.testing.assert_array_equal(tape.gradient(total, inputs), weights)


def test_projected_codes_give_the_gradient_of_the_maps():
    quantizer, inputs, weights = ready(code_dim=2), tf.constant(noise(2, 20, 4)), noise(2, 20, 4, seed=5)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(quantizer(inputs).vectors * weights)
    inwards, outwards = (layer.kernel.numpy() for layer in (quantizer.projection_in, quantizer.projection_out))
    np.testing.assert_allclose(tape.gradient(total, inputs), weights @ outwards.T @ inwards.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inwards.T @ inwards, np.eye(2), atol=1e-5)


def test_normalised_codes_and_encodings_have_length_one():
    quantizer, inputs = ready(normalize=True), noise(2, 20, 4, seed=8)
    np.testing.assert_allclose(np.linalg.norm(quantizer(inputs).vectors, axis=-1), np.ones([2, 20]), atol=1e-5)
    np.testing.assert_array_equal(quantizer.encode(inputs), quantizer.encode(7.0 * inputs))


@pytest.mark.parametrize(
    "wrong",
    [
        {"update": "momentum"}, {"gradient": "none"}, {"commitment": "fixed"}, {"codebook_size": 0}, {"dim": 0},
        {"ema_decay": 1.0}, {"restart_threshold": 1.0}, {"code_dim": 0}, {"commitment_weight": -1.0},
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=name):
        VectorQuantizer(**{"codebook_size": 8, "dim": 4, **wrong})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_what_padding_holds_does_not_matter(value):
    """Also what overflows when it is squared: zero times infinity is not zero."""
    results = []
    for filling in (0.0, value):
        quantizer = VectorQuantizer(8, 4, conscience=1.0, evenness_weight=0.1, ema_decay=0.5)
        inputs = np.random.default_rng(3).normal(size=[4, 20, 4]).astype(np.float32)
        mask = np.ones([4, 20], np.float32)
        mask[2:, 10:] = 0.0
        inputs[mask == 0.0] = filling
        losses = [quantizer(inputs, mask=mask, training=True).losses for _ in range(3)][-1]
        results.append([*losses.values(), *quantizer.get_weights()])
    for clean, dirty in zip(*results, strict=True):
        np.testing.assert_array_equal(clean, dirty)


def test_squares_beyond_float32_are_refused_and_move_nothing():
    quantizer = VectorQuantizer(8, 4, conscience=1.0)
    before = quantizer.get_weights()
    with pytest.raises(tf.errors.InvalidArgumentError, match="squares beyond float32"):
        quantizer(np.full([1, 3, 4], 1e20, np.float32), training=True)
    for left, right in zip(before, quantizer.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("shape, dtype", [((2, 5, 3), "float32"), ((5, 4), "float32"), ((2, 5, 4), "int32")])
def test_what_are_no_vectors_of_its_dimension_is_refused(shape, dtype):
    quantizer = VectorQuantizer(8, 4, name="book")
    for method in (quantizer, quantizer.encode):
        with pytest.raises(ValueError, match=r"book takes floats \[batch, frames, 4\]"):
            method(np.ones(shape, dtype))


def test_codes_of_more_codebooks_than_it_has_are_refused():
    with pytest.raises(ValueError, match=r"codes \[batch, frames, 1\], not \(2, 5, 3\)"):
        VectorQuantizer(8, 4).decode(np.zeros([2, 5, 3], np.int32))


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("wrong", [-1, 99999])
def test_codes_that_are_not_there_are_refused_in_and_out_of_a_graph(kind, wrong):
    quantizer = EVERY[kind]()
    codes = np.full([2, 5, len(quantizer.codebook_sizes)], wrong, np.int32)
    with pytest.raises(ValueError, match=rf"Codes of codebook 0 are 0 to \d+; these reach from {wrong} to {wrong}"):
        quantizer.decode(codes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Codes reach from 0 to the sizes of the codebooks"):
        tf.function(quantizer.decode, autograph=False)(tf.constant(codes))
    with pytest.raises(ValueError, match="codes that are integers, not float32"):
        quantizer.decode(codes.astype(np.float32))


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (20.0, 1.0), (0.0, 0.01)])
def test_as_it_comes_it_uses_its_codes_on_vectors_of_any_mean_and_scale(mean, scale):
    quantizer = VectorQuantizer(16, 4)
    step = tf.function(lambda inputs: quantizer(inputs, training=True), autograph=False)
    for number in range(60):
        quantized = step(tf.constant(mean + scale * noise(4, 25, 4, seed=number)))
    assert float(quantized.measures["perplexity"][0]) > 12.0
    assert float(quantized.measures["error"][0]) < 0.6


def test_codes_are_looked_at_before_they_are_shortened():
    with pytest.raises(ValueError, match="these reach from 4294967299"):
        VectorQuantizer(8, 4).decode(np.full([1, 2, 1], 2**32 + 3, np.int64))


@pytest.mark.parametrize(("kind", "columns"), [("ema", 3), ("residual", 0), ("residual", 3), ("scalar", 2)])
def test_a_graph_of_any_number_of_columns_refuses_those_that_it_has_not(kind, columns):
    decode = tf.function(EVERY[kind]().decode, input_signature=[tf.TensorSpec([None, None, None], tf.int32)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Codes are \[batch, frames, columns\]"):
        decode(tf.zeros([2, 5, columns], tf.int32))
