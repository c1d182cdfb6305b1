import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae import VAE
from tests.models.shared import noise, shaken

TINY = {"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4}
POOLED = {**TINY, "waveform_bands": 0, "latent_pooling": "global", "chunk_samples": 1260}
VARIANTS = {
    "default": TINY,
    "waveform transposed": {**TINY, "frontend": "waveform", "upsampling": "transposed"},
    "three stages": {**TINY, "widths": [8, 8, 8], "depths": [1, 0, 1], "strides": [3, 2], "upsampling": "transposed"},
    "odd hop, stereo": {**TINY, "hop": 147, "n_fft": 441, "channels": 2},
    "pooled": POOLED,
    "pooled waveform": {**POOLED, "frontend": "waveform"},
}


@pytest.fixture(scope="module")
def vae():
    return shaken(VAE(**TINY))


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Tests give it two sounds at a time: `decode` is traced again for another size of the batch."""
    return shaken(VAE(**VARIANTS[request.param]))


def test_reconstruction_keeps_any_length(variant):
    hop, channels = variant.latent_hop, variant.channels
    for samples in (1, hop - 1, hop, 3 * hop + 17):
        waveform = noise(2, samples, channels)
        latents = variant.encode(waveform)
        assert latents.shape == (2, -(-samples // hop), variant.latent_dim)
        reconstruction = variant.reconstruct(waveform)
        assert reconstruction.shape == waveform.shape and np.isfinite(reconstruction).all()
    np.testing.assert_allclose(variant.decode(latents, samples), reconstruction, atol=1e-5)
    assert variant.decode(latents).shape == (2, latents.shape[1] * hop, channels)


def test_one_graph_is_for_all_batches_and_lengths(vae):
    for batch, samples in ((1, 700), (2, 1500), (3, 1)):
        vae.encode(noise(batch, samples, 1)), vae.reconstruct_at_once(noise(batch, samples, 1))
    assert vae._encode.experimental_get_tracing_count() == vae._reconstruct.experimental_get_tracing_count() == 1


def test_blocks_of_a_long_recording_are_one_pass(variant, monkeypatch):
    monkeypatch.setattr("keras_audio_vae.models.blockwise.BLOCK_SECONDS", 0.15)
    waveform = noise(2, 8 * max(variant.latent_hop, 3000) + 1001, variant.channels)
    once = variant.reconstruct_at_once(waveform).numpy()
    np.testing.assert_allclose(variant.reconstruct(waveform), once, atol=1e-4 * np.abs(once).max())


def test_padding_at_the_end_is_silence(vae):
    waveform = noise(2, 1000, 1)
    silence = np.pad(waveform, [(0, 0), (0, 260), (0, 0)])
    np.testing.assert_allclose(vae.encode(waveform), vae.encode(silence), atol=1e-6)


def test_posterior_is_a_gaussian_of_float32(vae):
    waveform = noise(2, 2000, 1)
    posterior = vae.posterior(waveform)
    assert posterior.batch_shape == (2, 4) and posterior.event_shape == (8,) and posterior.dtype == tf.float32
    np.testing.assert_allclose(posterior.mean(), vae.encode(waveform), atol=1e-5)
    prior = tfp.distributions.Independent(tfp.distributions.Normal(tf.zeros([2, 4, 8]), 1.0), 1)
    kl = tfp.distributions.kl_divergence(posterior, prior)
    np.testing.assert_allclose(tf.reduce_sum(vae.kl_per_dimension(waveform), -1), kl, rtol=1e-4)
    frames_per_second = 22050 / 630
    np.testing.assert_allclose(vae.rate(waveform), tf.reduce_mean(kl, 1) * frames_per_second / np.log(2), rtol=1e-4)
    assert vae.rate(waveform).shape == (2,)


def test_samples_are_a_function_of_the_seed(vae):
    sounds = vae.sample(3, seconds=0.1, seed=1)
    assert sounds.shape == (3, 2205, 1)
    np.testing.assert_array_equal(sounds, vae.sample(3, seconds=0.1, seed=1))
    assert not np.allclose(sounds, vae.sample(3, seconds=0.1, seed=2), atol=1e-3)
    assert not np.allclose(sounds[0], sounds[1], atol=1e-3)
    frozen = vae.sample(2, seconds=0.1, seed=1, temperature=0.0)
    np.testing.assert_allclose(frozen, vae.decode(tf.zeros([2, 4, 8]), 2205), atol=1e-6)


def test_interpolation_refuses_waveforms_of_two_lengths(vae):
    with pytest.raises(ValueError, match="two waveforms of one shape"):
        vae.interpolate(noise(700, 1), noise(701, 1), steps=3)


def test_interpolation_begins_and_ends_at_the_reconstructions(vae):
    a, b = noise(1000, 1), noise(1000, 1, seed=1)
    sounds = vae.interpolate(a, b, steps=5)
    assert sounds.shape == (5, 1000, 1)
    ends = vae.reconstruct(np.stack([a, b]))
    np.testing.assert_allclose(tf.stack([sounds[0], sounds[-1]]), ends, atol=1e-4)
    middle = vae.decode(tf.reduce_mean(vae.encode(np.stack([a, b])), 0, keepdims=True), 1000)
    np.testing.assert_allclose(sounds[2:3], middle, atol=1e-4)


def test_examples_of_a_batch_do_not_mix(vae):
    waveform = noise(3, 2500, 1)
    together = vae.reconstruct(waveform).numpy()
    for row in range(3):
        alone = vae.reconstruct(waveform[row : row + 1]).numpy()
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4 * np.abs(together).max())


def test_calling_the_model_and_predict_reconstruct(vae):
    waveform = noise(3, 1000, 1)
    expected = vae.reconstruct(waveform)
    np.testing.assert_allclose(vae(waveform), expected, atol=1e-5)
    np.testing.assert_allclose(vae({"waveform": waveform, "mask": np.ones((3, 1000))}), expected, atol=1e-5)
    np.testing.assert_allclose(vae.predict(waveform, batch_size=2, verbose=0), expected, atol=1e-5)


def test_saved_model_file_is_the_same_model(variant, tmp_path):
    waveform = noise(2, 1500, variant.channels)
    variant.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is VAE and loaded.get_config() == variant.get_config()
    expected = variant.reconstruct(waveform)
    np.testing.assert_allclose(loaded.reconstruct(waveform), expected, atol=1e-5 * np.abs(expected).max())


def test_model_is_built_by_its_constructor(variant):
    assert variant.built and variant.count_params() > 0
    names = [variable.path for variable in variant.variables]
    variant.reconstruct(noise(2, 5000, variant.channels))
    assert [variable.path for variable in variant.variables] == names


@pytest.mark.parametrize("shape", [(100, 1), (1, 100), (1, 100, 2)])
def test_a_waveform_of_another_shape_is_refused(vae, shape):
    for method in (vae.encode, vae.reconstruct, vae.posterior, vae.rate):
        with pytest.raises(ValueError, match=r"A waveform is \[batch, samples, 1 channels\]"):
            method(noise(*shape))


@pytest.mark.parametrize("wrong", [2 * 630 + 1, np.int64(2 * 630 + 1), -1, np.int32(-5)], ids=repr)
def test_more_samples_than_the_latents_hold_or_less_than_none_are_refused(vae, wrong):
    with pytest.raises(ValueError, match="num_samples must be 0 to 1260"):
        vae.decode(tf.zeros([1, 2, 8]), wrong)


def test_a_length_may_be_any_integer(vae):
    for length in (1000, np.int64(1000), tf.constant(1000)):
        assert vae.decode(tf.zeros([1, 2, 8]), length).shape == (1, 1000, 1)
    assert vae.decode(np.zeros([1, 2, 8]), 0).shape == (1, 0, 1)


@pytest.mark.parametrize("shape", [(2, 8), (8,), (1, 2, 7), (1, 2, 16), (1, 2, 8, 1), (1, 0, 8)])
def test_latents_of_another_shape_are_refused(vae, shape):
    with pytest.raises(
        ValueError, match=r"Latents are \[batch, at least one frame, latent_dim = 8\]; these have shape"
    ):
        vae.decode(np.zeros(shape), 10)


def test_a_waveform_without_samples_is_refused(vae):
    for method in (vae.encode, vae.reconstruct, vae.posterior, vae.rate, vae.kl_per_dimension):
        with pytest.raises(ValueError, match="A waveform has at least one sample"):
            method(np.zeros((1, 0, 1), np.float32))


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16"])
def test_float16_is_refused_with_what_to_use(dtype):
    with pytest.raises(ValueError, match="float16: use mixed_bfloat16"):
        VAE(**TINY, dtype=dtype)


@pytest.mark.parametrize(
    ("method", "steps"), [("target", 0), ("constant", 0), ("free_bits", 0), ("linear", 70), ("cyclical", 70)]
)
def test_the_warm_up_is_that_of_the_kl(method, steps):
    assert VAE(**TINY, rate_control=method, warmup_steps=70).warmup_steps == steps


WRONG = {
    "sample_rate": {"sample_rate": 0},
    "channels": {"channels": 0},
    "frontend": {"frontend": "mel"},
    "hop": {"hop": 0},
    "n_fft": {"n_fft": 400},
    "widths": {"widths": [8]},
    "widths ": {"widths": [8, 0]},
    "depths": {"depths": [1, -1]},
    "strides": {"strides": [0]},
    "latent_dim": {"latent_dim": 0},
    "upsampling": {"upsampling": "cubic"},
    "waveform_bands": {"waveform_bands": -1},
    "latent_pooling": {"latent_pooling": "mean"},
    "chunk_samples": {**POOLED, "chunk_samples": 1000},
    "chunk_samples ": {**POOLED, "chunk_samples": 0},
    "latent_norm": {"latent_norm": "layer"},
    "latent_gamma": {"latent_norm": "batch", "latent_gamma": 0.0},
    "mse_weight": {"mse_weight": -1.0},
    "mel_weight": {"waveform_weight": 0.0, "stft_weight": 0.0, "mel_weight": 0.0},
    "rate_control": {"rate_control": "none"},
    "beta": {"beta": -1.0},
    "target_bps": {"target_bps": 0.0},
    "warmup_steps": {"warmup_steps": 0},
    "free_bits": {"free_bits": -1.0},
    "clipnorm": {"clipnorm": -1.0},
}


@pytest.mark.parametrize(
    ("arguments", "bands"),
    [({"latent_dim": 6}, 4), ({"latent_dim": 6, "channels": 2}, 3), ({"latent_pooling": "global"}, 0)],
)
def test_the_linear_path_has_no_more_bands_than_the_latents_hold(arguments, bands):
    model = VAE(**{**TINY, "chunk_samples": 1260, **arguments})
    assert model.network.waveform_bands == bands and model.get_config()["waveform_bands"] == TINY["waveform_bands"]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_by_name(name):
    with pytest.raises(ValueError, match=name.strip()):
        VAE(**{**TINY, **WRONG[name]})
