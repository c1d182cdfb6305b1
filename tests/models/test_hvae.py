import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae import HVAE
from keras_audio_vae.models import blockwise, decode_blocks, encode_blocks
from keras_audio_vae.serving import export, verify
from tests.models.shared import noise, shaken

TOP = {"top_dim": 3, "top_stride": 5, "top_width": 8, "top_depth": 1, "vamp_components": 4, "coarse_bands": 6}
TINY = {"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4, **TOP}
VARIANTS = {
    "default": TINY,
    "vamp, transposed, stereo": {**TINY, "top_prior": "vamp", "upsampling": "transposed", "channels": 2},
    "one stage, waveform": {
        **TINY,
        **{"widths": [8], "depths": [1], "strides": [], "hop": 315, "frontend": "waveform", "top_stride": 2},
    },
}


@pytest.fixture(scope="module")
def model():
    return shaken(HVAE(**TINY))


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Tests give it two sounds at a time: `decode` is traced again for another size of the batch."""
    return shaken(HVAE(**VARIANTS[request.param]))


def test_any_length_goes_there_and_back(variant):
    stride, fast_hop = variant.get_config()["top_stride"], variant.network.latent_hop
    assert variant.latent_hop == stride * fast_hop
    for samples in (1, fast_hop, variant.latent_hop + 1, 22050, 3 * 22050):
        waveform = noise(2, samples, variant.channels)
        latents = variant.encode(waveform)
        frames = -(-samples // variant.latent_hop)
        assert latents.top.shape == (2, frames, 3) and latents.bottom.shape == (2, stride * frames, 8)
        reconstruction = variant.reconstruct_at_once(waveform)
        assert reconstruction.shape == waveform.shape and np.isfinite(reconstruction).all()
        kl = variant.kl_per_dimension(waveform)
        assert kl.top.shape == (2, frames, 3) and kl.bottom.shape == (2, -(-samples // fast_hop), 8)
    np.testing.assert_allclose(variant.decode(tuple(latents), samples), reconstruction, atol=1e-4)
    assert variant.decode(latents).shape == (2, frames * variant.latent_hop, variant.channels)


@pytest.mark.parametrize("samples", [3150, 70001])
def test_blocks_give_what_one_pass_gives(variant, monkeypatch, samples):
    monkeypatch.setattr(blockwise, "BLOCK_SECONDS", 0.5)
    sound = tf.constant(noise(2, samples, variant.channels))

    def read(start, count):
        return sound[:, start : start + count]

    once = variant.reconstruct_at_once(sound).numpy()
    largest = np.abs(once).max()
    np.testing.assert_allclose(variant.reconstruct(sound), once, atol=1e-4 * largest)
    blocks = list(encode_blocks(variant, read, samples))
    latents = [tf.concat(level, axis=1) for level in zip(*blocks, strict=True)]
    for ours, whole in zip(latents, variant.encode(sound), strict=True):
        np.testing.assert_allclose(ours, whole, atol=1e-4)
    parts = list(decode_blocks(variant, type(blocks[0])(*latents), samples))
    np.testing.assert_allclose(tf.concat(parts, axis=1), once, atol=1e-3 * largest)


def test_posteriors_and_kl_fit_each_other(model):
    waveform = noise(2, 6300, 1)
    posterior = model.posterior(waveform)
    assert posterior.top.batch_shape == (2, 2) and posterior.bottom.batch_shape == (2, 10)
    for level, latents in zip(posterior, model.encode(waveform), strict=True):
        assert level.dtype == tf.float32
        np.testing.assert_allclose(level.mean(), latents, atol=1e-5)
    kl = model.kl_per_dimension(waveform)
    prior = tfp.distributions.Independent(model.levels.bottom_head.prior(model.levels.context(posterior.top.mean())), 1)
    expected = tfp.distributions.kl_divergence(posterior.bottom, prior)
    np.testing.assert_allclose(tf.reduce_sum(kl.bottom, -1), expected, rtol=1e-3)
    nats = [tf.reduce_mean(tf.reduce_sum(level, -1), 1) for level in kl]
    np.testing.assert_allclose(model.rate(waveform), (7 * nats[0] + 35 * nats[1]) / np.log(2), rtol=1e-4)
    assert model.rate(waveform).shape == (2,)


def test_the_bottom_is_told_by_the_top(model):
    waveform = noise(1, 6300, 1)
    other = model.encode(noise(1, 6300, 1, seed=1)).top + 2.0
    own, told = model.posterior(waveform), model.posterior(waveform, top=other)
    np.testing.assert_allclose(own.top.mean(), told.top.mean())
    assert np.abs(own.bottom.mean() - told.bottom.mean()).max() > 1e-3
    assert np.abs(model.kl_per_dimension(waveform).bottom - model.kl_per_dimension(waveform, other).bottom).max() > 1e-3
    with pytest.raises(ValueError, match="latent_dim = 3"):
        model.kl_per_dimension(waveform, top=other[..., :2])


def test_the_decoder_hears_both_levels(model):
    top, bottom = model.encode(noise(1, 6300, 1))
    sound = model.decode((top, bottom))
    for changed in ((top + 1.0, bottom), (top, bottom + 1.0)):
        assert np.abs(model.decode(changed) - sound).max() > 1e-3


def test_samples_are_a_function_of_seed_and_temperatures(variant):
    def sample(**how):
        return variant.sample(2, seconds=0.2, **{"seed": 1, **how}).numpy()

    sounds = sample()
    assert sounds.shape == (2, 4410, variant.channels)
    np.testing.assert_array_equal(sounds, sample())
    np.testing.assert_array_equal(sounds, sample(bottom_temperature=1.0))
    for other in (sample(seed=2), sample(temperature=0.5), sample(bottom_temperature=0.5), sounds[::-1]):
        assert np.abs(sounds - other).max() > 1e-3
    top = noise(2, 3, 3)
    prior = variant.levels.bottom_head.prior(variant.levels.context(top))
    np.testing.assert_allclose(variant.sample_bottom(top, seed=1, temperature=0.0), prior.loc, atol=1e-6)


def test_draws_of_the_bottom_have_the_prior_s_deviation(model):
    top = np.tile(noise(1, 2, 3), (4000, 1, 1))
    prior = model.levels.bottom_head.prior(model.levels.context(top[:1]))
    drawn = model.sample_bottom(top, seed=3, temperature=0.5).numpy()
    np.testing.assert_allclose(drawn.std(axis=0), 0.5 * prior.scale[0], rtol=0.1)


@pytest.mark.parametrize("relative", [True, False])
def test_a_swap_takes_one_level_from_each(model, relative):
    a, b = noise(2, 4000, 1), noise(2, 4000, 1, seed=1)
    for level in ("top", "bottom"):
        np.testing.assert_allclose(model.swap(a, a, level, relative), model.reconstruct(a), atol=1e-4)
    swapped = model.swap(a, b, "top", relative)
    assert swapped.shape == a.shape
    np.testing.assert_allclose(swapped, model.swap(b, a, "bottom", relative), atol=1e-5)
    if not relative:
        mixed = model.encode(b).top, model.encode(a).bottom
        np.testing.assert_allclose(swapped, model.decode(mixed, 4000), atol=1e-4)


def test_a_relative_swap_carries_the_innovation(model):
    a, b = noise(1, 3150, 1), noise(1, 3150, 1, seed=1)
    prior = model.levels.bottom_head.prior(model.levels.context(model.encode(b).top))
    bottom = prior.loc + prior.scale * model.innovations(a).bottom
    expected = model.decode((model.encode(b).top, bottom), 3150)
    np.testing.assert_allclose(model.swap(a, b, "top"), expected, atol=1e-4)
    assert np.abs(expected - model.swap(a, b, "top", relative=False)).max() > 1e-3


def test_a_swap_of_two_lengths_or_an_unknown_level_is_refused(model):
    with pytest.raises(ValueError, match="two batches of one shape"):
        model.swap(noise(1, 700, 1), noise(1, 701, 1), "top")
    with pytest.raises(ValueError, match="level must be one of top, bottom, not 'middle'"):
        model.swap(noise(1, 700, 1), noise(1, 700, 1), "middle")


def test_interpolation_begins_and_ends_at_the_reconstructions(model):
    a, b = noise(4000, 1), noise(4000, 1, seed=1)
    sounds = model.interpolate(a, b, steps=3)
    np.testing.assert_allclose(tf.stack([sounds[0], sounds[-1]]), model.reconstruct(np.stack([a, b])), atol=1e-4)
    means = [tf.reduce_mean(level, 0, keepdims=True) for level in model.encode(np.stack([a, b]))]
    np.testing.assert_allclose(sounds[1:2], model.decode(tuple(means), 4000), atol=1e-4)


def test_examples_of_a_batch_do_not_mix_and_padding_is_silence(model):
    waveform = noise(3, 5000, 1)
    together = model.reconstruct(waveform).numpy()
    for row in range(3):
        np.testing.assert_allclose(model.reconstruct(waveform[row : row + 1])[0], together[row], atol=1e-4)
    silence = np.pad(waveform, [(0, 0), (0, 1300), (0, 0)])
    for ours, padded in zip(model.encode(waveform), model.encode(silence), strict=True):
        np.testing.assert_allclose(ours, padded, atol=1e-5)


def test_saved_model_file_is_the_same_model(variant, tmp_path):
    waveform = noise(2, 5000, variant.channels)
    variant.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is HVAE and loaded.get_config() == variant.get_config()
    np.testing.assert_allclose(loaded.reconstruct(waveform), variant.reconstruct(waveform), atol=1e-5)
    np.testing.assert_allclose(loaded.rate(waveform), variant.rate(waveform), rtol=1e-5)
    for level in ("top", "bottom"):
        np.testing.assert_allclose(
            loaded.swap(waveform, -waveform, level), variant.swap(waveform, -waveform, level), atol=1e-5
        )


def test_an_export_gives_and_takes_both_levels_by_name(tmp_path):
    model = shaken(HVAE(**{**TINY, "widths": [8], "depths": [1], "strides": [], "hop": 630, "n_fft": 1260}))
    path = export(model, tmp_path / "1")
    signatures = tf.saved_model.load(str(path)).signatures
    waveform = noise(2, 4000, 1)
    encoded = signatures["encode"](waveform=waveform)
    assert set(encoded) == {"top", "bottom"}
    for name, level in model.encode(waveform)._asdict().items():
        np.testing.assert_allclose(encoded[name], level, atol=1e-5)
    inputs = signatures["decode"].structured_input_signature[1]
    shapes = {name: spec.shape.as_list() for name, spec in inputs.items()}
    assert shapes == {"top": [None, None, 3], "bottom": [None, None, 8], "num_samples": [None]}
    # One sample, a frame of the top and one sample more, and rows that ask for different lengths.
    verify(model, path, shapes=((1, 1), (1, 3151), (2, 5000)))


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (np.zeros((1, 2, 3)), r"a pair \(top, bottom\), not ndarray"),
        ((np.zeros((1, 2, 3)),), "a pair"),
        ((np.zeros((1, 2, 4)), np.zeros((1, 10, 8))), "latent_dim = 3"),
        ((np.zeros((1, 2, 3)), np.zeros((1, 10, 7))), "latent_dim = 8"),
        ((np.zeros((1, 2, 3)), np.zeros((1, 9, 8))), "5 frames for each of the top's 2, not 9"),
    ],
)
def test_latents_that_are_no_two_levels_are_refused(model, latents, message):
    with pytest.raises(ValueError, match=message):
        model.decode(latents, 10)


def test_more_samples_than_the_latents_hold_are_refused(model):
    latents = np.zeros((1, 2, 3)), np.zeros((1, 10, 8))
    assert model.decode(latents, 6300).shape == (1, 6300, 1)
    with pytest.raises(ValueError, match="num_samples must be 0 to 6300"):
        model.decode(latents, 6301)


WRONG = {
    "top_dim": 0,
    "top_stride": 0,
    "top_width": 0,
    "top_depth": -1,
    "top_prior": "flow",
    "vamp_components": 0,
    "coarse_weight": -1.0,
    "coarse_bands": 0,
    "rate_control": "none",
    "top_beta": -1.0,
    "top_target_bps": -1.0,
    "top_free_bits": -1.0,
    "warmup_steps": 0,
    "warmup_order": "middle",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_by_name(name):
    with pytest.raises(ValueError, match=name):
        HVAE(**{**TINY, name: WRONG[name]})


@pytest.mark.parametrize(
    ("method", "order", "steps"),
    [("target", "together", 0), ("target", "top", 70), ("linear", "together", 70), ("linear", "bottom", 140)],
)
def test_the_warm_up_ends_when_both_levels_are_charged_in_full(method, order, steps):
    assert HVAE(**TINY, rate_control=method, warmup_order=order, warmup_steps=70).warmup_steps == steps
