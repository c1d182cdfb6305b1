import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import ResidualVectorQuantizer


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(steps=3, **options):
    quantizer = ResidualVectorQuantizer(
        **{"num_codebooks": 3, "codebook_size": 8, "dim": 4, "kmeans_init": False, "conscience": 0.0, **options}
    )
    for number in range(steps):
        quantizer(tf.constant(noise(3, 20, 4, seed=number)), training=True)
    return quantizer


@pytest.fixture(scope="module")
def plain():
    return trained(steps=15, kmeans_init=True)


@pytest.fixture(scope="module")
def projected():
    return trained(code_dim=2, normalize=True)


@pytest.fixture(scope="module")
def dropping():
    return trained(quantizer_dropout=1.0)


@pytest.fixture(params=["plain", "projected"])
def quantizer(request):
    return request.getfixturevalue(request.param)


def test_vectors_are_the_sum_of_what_the_stages_decode(quantizer):
    inputs = tf.constant(noise(2, 20, 4, seed=70))
    quantized = quantizer(inputs)
    residual, total = inputs, 0.0
    for number, stage in enumerate(quantizer.stages):
        codes = stage.encode(residual)
        np.testing.assert_array_equal(quantized.codes[..., number], codes[..., 0])
        residual, total = residual - stage.decode(codes), total + stage.decode(codes)
    np.testing.assert_allclose(quantized.vectors, total, atol=1e-5)
    np.testing.assert_allclose(quantizer.decode(quantized.codes), total, atol=1e-5)


def test_more_codebooks_say_more(plain):
    inputs = tf.constant(noise(4, 50, 4, seed=71))
    codes = plain.encode(inputs)
    errors = [float(tf.reduce_mean(tf.square(inputs - plain.decode(codes[..., :n])))) for n in (1, 2, 3)]
    assert 1.0 > errors[0] > 1.5 * errors[1] > 2.0 * errors[2]


def test_each_stage_begins_where_the_one_before_has_its_codes():
    quantizer = ResidualVectorQuantizer(3, 8, 4, kmeans_init=True, restart_threshold=0.15, conscience=0.0)
    step = tf.function(lambda inputs: quantizer(inputs, training=True), autograph=False)
    began = []
    for number in range(13):
        inputs = noise(2, 8, 4, seed=number)
        quantized = step(inputs)
        began.append(int(np.count_nonzero(quantized.measures["perplexity"])))
        assert np.allclose(quantized.vectors, inputs, atol=1e-6) == (began[-1] < 3)
    assert began == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 4, "each collects 8 tokens a step up to 32, one after another"


def test_gradient_passes_once_whatever_the_number_of_stages(plain):
    inputs, weights = tf.constant(noise(2, 20, 4)), noise(2, 20, 4, seed=5)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(plain(inputs).vectors * weights)
    np.testing.assert_array_equal(tape.gradient(total, inputs), weights)


def test_gradient_of_projected_stages_is_that_of_the_chain_with_exact_codes():
    """As if every stage took its part P r from the residual r: the sum is z - (I - P3) (I - P2) (I - P1) z."""
    quantizer = trained(code_dim=2)
    inputs, weights = tf.constant(noise(2, 20, 4)), noise(2, 20, 4, seed=5)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(quantizer(inputs).vectors * weights)
    left = np.eye(4)
    for number, stage in enumerate(quantizer.stages):
        kernels = stage.projection_in.kernel.numpy(), stage.projection_out.kernel.numpy()
        left = left @ (np.eye(4) - kernels[0] @ kernels[1])
        assert number or np.linalg.matrix_rank(left, tol=1e-4) == 2
    np.testing.assert_allclose(tape.gradient(total, inputs), weights @ (np.eye(4) - left).T, rtol=1e-3, atol=1e-5)


def test_every_stage_pulls_the_inputs_towards_its_codes(plain):
    inputs = tf.constant(noise(2, 20, 4, seed=9))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        quantized = plain(inputs)
        loss = quantized.losses["commitment"]
    weights = quantized.measures["commitment_weight"].numpy()
    assert len(set(weights)) == 1, "all stages compare with the variance of the inputs"
    expected, residual, errors = 0.0, inputs.numpy(), []
    for number, stage in enumerate(plain.stages):
        residual = residual - stage.decode(quantized.codes[..., number : number + 1]).numpy()
        expected = expected + weights[0] * 2.0 * residual / residual.size
        errors.append(np.mean(residual**2))
    np.testing.assert_allclose(tape.gradient(loss, inputs), expected, rtol=1e-3, atol=1e-7)
    assert float(loss) == pytest.approx(weights[0] * sum(errors), rel=1e-4)


def test_dropout_gives_each_example_a_prefix_of_the_codebooks():
    quantizer = trained(quantizer_dropout=0.5)
    inputs, before = tf.constant(noise(400, 2, 4, seed=3)), quantizer.get_weights()
    quantized = quantizer(inputs, training=True)
    quantizer.set_weights(before)
    prefixes = [quantizer.decode(quantized.codes[..., :count]).numpy() for count in (1, 2, 3)]
    distances = np.array([np.abs(quantized.vectors - each).max(axis=(1, 2)) for each in prefixes])
    assert distances.min(axis=0).max() < 1e-5
    shares = np.bincount(distances.argmin(axis=0)) / 400
    np.testing.assert_allclose(shares, [1 / 6, 1 / 6, 4 / 6], atol=0.08)


def test_dropped_stages_neither_count_nor_learn(dropping):
    quantizer = dropping
    before = [stage.codebook.usage.histogram.numpy().sum() for stage in quantizer.stages]
    quantizer(tf.constant(noise(300, 1, 4)), training=True)
    added = [
        stage.codebook.usage.histogram.numpy().sum() - 0.99 * count
        for stage, count in zip(quantizer.stages, before, strict=True)
    ]
    np.testing.assert_allclose(added, [300, 200, 100], atol=30)


def test_all_codebooks_serve_in_evaluation(dropping):
    quantized = dropping(tf.constant(noise(5, 6, 4)))
    np.testing.assert_allclose(quantized.vectors, dropping.decode(quantized.codes), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_codebooks": 0}, "num_codebooks"),
        ({"quantizer_dropout": 1.5}, "quantizer_dropout"),
        ({"normalize": True}, "code_dim"),
        ({"update": "never"}, "update"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        ResidualVectorQuantizer(**{"num_codebooks": 2, "codebook_size": 8, "dim": 4, **wrong})


def test_codebooks_have_the_sizes_that_are_given_and_the_last_for_all_that_follow():
    quantizer = ResidualVectorQuantizer(4, (4, 8), dim=3, kmeans_init=False)
    assert quantizer.codebook_sizes == (4, 8, 8, 8)
    assert ResidualVectorQuantizer.from_config(quantizer.get_config()).codebook_sizes == (4, 8, 8, 8)
    codes = quantizer.encode(tf.random.stateless_normal([2, 50, 3], [0, 1])).numpy()
    assert (codes.max(axis=(0, 1)) < [4, 8, 8, 8]).all()
    with pytest.raises(ValueError, match=r"one number, or up to num_codebooks = 1, not \[4, 8\]"):
        ResidualVectorQuantizer(1, (4, 8), dim=3)


def test_a_frozen_quantizer_drops_nothing():
    quantizer = trained(quantizer_dropout=1.0)
    quantizer.trainable = False
    inputs = noise(6, 20, quantizer.dim, seed=9)
    np.testing.assert_array_equal(quantizer(inputs, training=True).vectors, quantizer(inputs).vectors)


def test_one_graph_decodes_any_number_of_the_first_codes():
    quantizer = trained()
    signature = [tf.TensorSpec([None, None, None], tf.int32)]
    decode = tf.function(quantizer.decode, input_signature=signature, autograph=False)
    codes = quantizer.encode(noise(2, 5, 4))
    for count in (3, 1, 2):
        np.testing.assert_allclose(decode(codes[..., :count]), quantizer.decode(codes[..., :count]), atol=1e-6)
    assert not np.allclose(quantizer.decode(codes[..., :1]), quantizer.decode(codes), atol=1e-2)
