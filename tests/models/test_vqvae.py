import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae import VQVAE
from keras_audio_vae.training import NonFiniteGuard, NonFiniteLoss, RunState
from tests.models.shared import noise, opened

TINY = {
    **{"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4},
    **{"num_codebooks": 3, "codebook_size": 16, "code_dim": 4},
}
SHALLOW = {"widths": [8], "depths": [1], "strides": [], "stft_weight": 0.0, "mel_weight": 0.0}  # quick to trace
SCALAR = {**TINY, "quantizer": "scalar", "levels": [4, 3], "num_codebooks": 2}
VARIANTS = {
    "residual": TINY,
    "one codebook, waveform, standardised": {
        **{**TINY, "num_codebooks": 1, "code_dim": 0, "frontend": "waveform"},
        **{"waveform_bands": 0, "standardize_encodings": True},
    },
    "gradient, rotation, stereo": {
        **{**TINY, "codebook_update": "gradient", "code_gradient": "rotation", "channels": 2},
        **{"evenness_weight": 0.1, "quantizer_dropout": 0.5},
    },
    "scalar": SCALAR,
}  # fmt: skip


def trained(model, steps=3):
    """A model after a few steps, so that its codes have been placed."""
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    model.fit(noise(4 * steps, 6300, model.channels), batch_size=4, verbose=0, shuffle=False)
    return model


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Tests give it two sounds at a time: `decode` is traced again for another size of the batch."""
    keras.utils.set_random_seed(0)
    return trained(VQVAE(**VARIANTS[request.param]))


@pytest.fixture(scope="module")
def vqvae():
    keras.utils.set_random_seed(0)
    return trained(VQVAE(**TINY))


def test_reconstruction_keeps_any_length(variant):
    hop, channels = variant.latent_hop, variant.channels
    for samples in (1, hop - 1, hop, 3 * hop + 17):
        waveform = noise(2, samples, channels)
        codes = variant.encode(waveform)
        assert codes.shape == (2, -(-samples // hop), len(variant.codebook_sizes)) and codes.dtype == tf.int32
        reconstruction = variant.reconstruct(waveform)
        assert reconstruction.shape == waveform.shape and np.isfinite(reconstruction).all()
    np.testing.assert_allclose(variant.decode(codes, samples), reconstruction, atol=1e-5)
    assert variant.decode(codes).shape == (2, codes.shape[1] * hop, channels)


def test_blocks_of_a_long_recording_have_the_codes_of_one_pass(variant, monkeypatch):
    monkeypatch.setattr("keras_audio_vae.models.blockwise.BLOCK_SECONDS", 0.15)
    waveform = noise(2, 24001, variant.channels)
    once = variant.reconstruct_at_once(waveform).numpy()
    np.testing.assert_allclose(variant.reconstruct(waveform), once, atol=1e-4 * np.abs(once).max())


def test_posterior_has_the_codes_and_the_vectors_that_are_decoded(variant):
    waveform = noise(2, 5000, variant.channels)
    posterior = variant.posterior(waveform)
    np.testing.assert_array_equal(posterior.codes, variant.encode(waveform))
    np.testing.assert_allclose(posterior.vectors, variant.quantizer.decode(posterior.codes), atol=1e-5)


def test_nominal_rate_is_that_of_the_codebooks(vqvae):
    assert vqvae.codebook_sizes == (16, 16, 16)
    assert vqvae.nominal_bps == 35 * 3 * 4
    np.testing.assert_allclose(vqvae.rate(noise(2, 1000, 1)), [420.0, 420.0])
    assert VQVAE(**SCALAR).nominal_bps == pytest.approx(35 * 2 * np.log2(12))


def test_fewer_codebooks_give_a_coarser_sound(vqvae):
    waveform = noise(2, 5000, 1)
    codes = vqvae.encode(waveform)
    coarse = vqvae.decode(codes[..., :1], 5000)
    assert coarse.shape == waveform.shape
    assert not np.allclose(coarse, vqvae.decode(codes, 5000), atol=1e-4)
    two = vqvae.decode(codes[..., :2], 5000)  # by the graph that the other two have widened
    alone = vqvae.network.decode(vqvae.quantizer.decode(codes[..., :2]))[:, :5000]
    np.testing.assert_allclose(two, alone, atol=1e-4)


def test_the_scale_of_standardised_encodings_says_nothing():
    """Nothing would hold it, and no loss would notice that it runs off."""
    tiny = {**TINY, **SHALLOW, "waveform_bands": 0, "num_codebooks": 1, "conscience": 2.0}
    logs = []
    for scale in (1.0, 1000.0):
        keras.utils.set_random_seed(0)
        model = opened(VQVAE(**tiny, standardize_encodings=True))
        for weight in model.projection.weights:
            weight.assign(scale * weight)
        logs.append(model.objective(model._padded(noise(4, 6300, 1)), 0, training=True))
    assert logs[0]["commitment"] > 0.01
    for name, value in logs[0].items():
        np.testing.assert_allclose(logs[1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_samples_are_drawn_from_the_codes_that_training_used(vqvae):
    for use in vqvae.quantizer.stages:
        histogram = np.zeros(16, np.float32)
        histogram[3] = 5.0
        use.codebook.usage.histogram.assign(histogram)
    sounds = vqvae.sample(2, seconds=0.1, seed=1)
    np.testing.assert_allclose(sounds, vqvae.decode(np.full([2, 4, 3], 3), 2205), atol=1e-5)


def test_samples_are_a_function_of_the_seed(variant):
    sounds = variant.sample(2, seconds=0.1, seed=1)
    assert sounds.shape == (2, 2205, variant.channels)
    np.testing.assert_array_equal(sounds, variant.sample(2, seconds=0.1, seed=1))
    assert not np.allclose(sounds, variant.sample(2, seconds=0.1, seed=2), atol=1e-4)


def test_interpolation_begins_and_ends_at_the_reconstructions(vqvae):
    a, b = noise(1000, 1), noise(1000, 1, seed=1)
    sounds = vqvae.interpolate(a, b, steps=4)
    assert sounds.shape == (4, 1000, 1)
    ends = vqvae.reconstruct(np.stack([a, b]))
    np.testing.assert_allclose(tf.stack([sounds[0], sounds[-1]]), ends, atol=1e-4)
    encodings = vqvae.encodings(np.stack([a, b]))
    third = vqvae.quantizer.encode((2 * encodings[:1] + encodings[1:]) / 3)
    np.testing.assert_allclose(sounds[1:2], vqvae.decode(third, 1000), atol=1e-4)


def test_saved_model_file_is_the_same_model(variant, tmp_path):
    waveform = noise(2, 1500, variant.channels)
    variant.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is VQVAE and loaded.get_config() == variant.get_config()
    np.testing.assert_array_equal(loaded.encode(waveform), variant.encode(waveform))
    np.testing.assert_allclose(loaded.reconstruct(waveform), variant.reconstruct(waveform), atol=1e-5)


def test_evaluation_moves_nothing(variant):
    before = [weight.numpy() for weight in variant.variables]
    variant.test_step(noise(2, 6300, variant.channels))
    changed = [w.path for w, value in zip(variant.variables, before, strict=True) if not np.array_equal(w, value)]
    assert all(path.split("/")[-1] in ("total", "count") for path in changed)  # of the running means of the logs


def test_loss_is_the_sum_of_its_terms_and_every_term_is_logged(variant):
    logs = variant.objective(variant._padded(noise(2, 6300, variant.channels)), 0, training=False)
    weights = variant.reconstruction_loss.weights
    expected = sum(weights[name] * logs[name] for name in weights)
    expected += sum(logs[name] for name in variant.quantizer.loss_names)
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    measures = variant.quantizer.measure_names
    books = range(1, len(variant.codebook_sizes) + 1)
    each = {f"{measure}_{book}" for measure in measures for book in books}
    assert set(logs) == {"loss", *weights, *variant.quantizer.loss_names, *measures, *each}
    for measure in measures:
        np.testing.assert_allclose(logs[measure], np.mean([logs[f"{measure}_{book}"] for book in books]), rtol=1e-5)


@pytest.mark.parametrize(
    "codes, message",
    [
        (np.zeros([1, 4, 3], np.float32), "integers, not float32"),
        (np.zeros([4, 3], np.int32), "1 to 3 codebooks"),
        (np.zeros([1, 0, 3], np.int32), "at least one frame"),
        (np.zeros([1, 4, 4], np.int32), "1 to 3 codebooks"),
        (np.full([1, 4, 3], 16), "0 to 15; these reach from 16 to 16"),
        (np.full([1, 4, 3], -1), "0 to 15; these reach from -1 to -1"),
    ],
)
def test_what_are_no_codes_of_the_model_is_refused(vqvae, codes, message):
    with pytest.raises(ValueError, match=message):
        vqvae.decode(codes)


@pytest.mark.parametrize(
    "changes",
    [{"quantizer": "vector"}, {"num_codebooks": 0}, {"commitment": "none"}, {"standardize_encodings": True}],
)
def test_arguments_that_make_no_model_are_refused_by_name(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        VQVAE(**{**TINY, **changes})


def test_a_run_whose_encodings_are_not_finite_names_the_step_and_its_recordings():
    model = VQVAE(**TINY)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    guard = NonFiniteGuard(RunState(step=7), lambda step: [f"{step}.wav"])
    model.projection.dense.bias.assign_add([np.nan] + 7 * [0.0])
    before = [stage.codebook.usage.histogram.numpy() for stage in model.quantizer.stages]
    said = r"quantizer was given became nan.* at step 7\..*7\.wav; .*6\.wav"
    with pytest.raises(NonFiniteLoss, match=said), guard.watching():
        model.train_on_batch(noise(4, 6300, 1))
    for stage, histogram in zip(model.quantizer.stages, before, strict=True):
        np.testing.assert_array_equal(stage.codebook.usage.histogram, histogram)


def test_an_evaluation_on_two_replicas_counts_rows_of_padding_as_one_does(two_replicas):
    data = {"waveform": noise(8, 2100, 1), "mask": np.repeat([[1.0]] * 6 + [[0.0]] * 2, 2100, axis=1)}
    results = []
    for where in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with where.scope():
            model = opened(VQVAE(**{**TINY, **SHALLOW, "num_codebooks": 1, "code_dim": 0}))
            model.compile(jit_compile=False)
        results.append(model.evaluate(data, batch_size=8, verbose=0, return_dict=True))
    assert results[0]["commitment"] > 0.0
    assert results[1] == pytest.approx(results[0], rel=1e-4)


def test_encodings_beyond_float32_are_told_and_not_hidden_by_standardising_them():
    model = VQVAE(**{**TINY, **SHALLOW, "waveform_bands": 0}, standardize_encodings=True)
    for weight in model.projection.weights:
        weight.assign(1e22 * (1.0 + weight))
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="infinity"):
        model.train_on_batch(noise(2, 2100, 1))


def test_two_replicas_reach_the_codes_weights_and_logs_of_one(two_replicas):
    results = []
    for where in (tf.distribute.get_strategy(), two_replicas):
        keras.utils.set_random_seed(0)
        with where.scope():
            model = opened(VQVAE(**{**TINY, **SHALLOW, "num_codebooks": 1, "conscience": 2.0}))
            model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
        history = model.fit(noise(16, 6300, 1), batch_size=4, verbose=0, shuffle=False).history
        results.append((history, [weight.numpy() for weight in model.weights]))
    (logs, weights), (logs_of_two, weights_of_two) = results
    assert logs["perplexity"][-1] > 1.0, "the comparison has seen the codes placed"
    for name, values in logs.items():
        np.testing.assert_allclose(logs_of_two[name], values, rtol=2e-3, atol=1e-5, err_msg=name)
    for left, right in zip(weights, weights_of_two, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4)
