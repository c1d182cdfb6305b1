import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_audio_vae as kav
from keras_audio_vae.frontends.mel_inversion import invert_mel
from keras_audio_vae.losses.spectrogram import pinball
from keras_audio_vae.models import blockwise
from tests.models.shared import noise, shaken

MEL = {"hop": 441, "n_fft": 1764, "mel_bands": 32}
NO_PHASE = {"frontend": "mel", "waveform_bands": 0, "waveform_weight": 0.0, "stft_weight": 0.0}
VAE = {**MEL, **NO_PHASE, "widths": [8, 16], "depths": [1, 1], "strides": [2], "latent_dim": 4}
VOCODER = {**MEL, "iterations": 5, "width": 8, "depth": 1}
SHALLOW = {"widths": [8], "depths": [1], "strides": []}  # quick to trace
FAMILIES = {
    "vae": lambda: kav.VAE(**{**VAE, **SHALLOW}),
    "hvae": lambda: kav.HVAE(**{**VAE, **SHALLOW}, top_dim=4, top_width=8, top_depth=1, coarse_weight=0.0),
    "vqvae": lambda: kav.VQVAE(**{**VAE, **SHALLOW}, num_codebooks=2),
}


@pytest.fixture(scope="module")
def vocoder():
    return shaken(kav.models.Vocoder(**VOCODER))


@pytest.fixture(scope="module")
def model():
    return shaken(kav.VAE(**VAE))


@pytest.mark.parametrize("family", FAMILIES)
def test_training_lowers_the_distance_of_the_spectrogram(family):
    """Of sounds whose level is the first thing to learn."""
    model = FAMILIES[family]()
    sounds = noise(4, 8820, 1) * np.array([1.0, 0.1, 0.01, 0.001], np.float32)[:, np.newaxis, np.newaxis]
    model.adapt([sounds])
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(np.repeat(sounds[:, :4410], 10, axis=0), batch_size=4, epochs=3, verbose=0).history["mel"]
    assert losses[-1] < 0.8 * losses[0]


def test_the_loss_charges_soft_bands_more_than_loud_ones(model):
    """Mean difference in decades, 0.63 to 0.37, padding left out, against the features of the sound before it."""
    sound, mask = noise(2, 8820, 1), np.ones([2, 8820], np.float32)
    mask[1, 4410:] = 0.0
    vectors = noise(2, 10, 4)
    [distance] = model.reconstruction_loss.terms(sound, model.network.predict(vectors), mask).values()
    frontend = model.network.frontend
    bands = [
        frontend.in_decades(f).numpy()
        for f in (model.network.predict(vectors), frontend.features(sound * mask[..., None]))
    ]
    excess = bands[0] - bands[1]
    errors = (np.abs(excess) * np.where(excess > 0, 0.74, 1.26)).mean(axis=-1)
    np.testing.assert_allclose(distance, [errors[0].mean(), errors[1, :10].mean()], rtol=1e-4)


def test_the_loss_is_smallest_at_the_mean_power_of_noise():
    """A prediction in decades that is the same for all of many exponentially distributed powers."""
    decades = np.log10(np.random.default_rng(0).exponential(size=20000)).astype(np.float32)
    candidates = np.linspace(-0.6, 0.6, 241, dtype=np.float32)
    losses = [float(tf.reduce_mean(pinball(candidate - decades))) for candidate in candidates]
    assert abs(candidates[np.argmin(losses)]) < 0.02


def test_the_spectrogram_distance_is_that_of_the_prediction(model):
    sound = noise(2, 9000, 1)
    latents = model.encode(sound)
    frontend = model.network.frontend
    own = frontend.in_decades(frontend.features(sound)).numpy()
    predicted = frontend.in_decades(model.network.predict(latents)).numpy()[:, : own.shape[1]]
    expected = np.abs(own - predicted).mean(axis=(1, 2))
    np.testing.assert_allclose(model.spectrogram_distance(sound, latents), expected, rtol=1e-4)


def test_adapted_bands_have_mean_0_and_deviation_1():
    model = kav.VAE(**VAE)
    batches = [{"waveform": noise(2, 8820, 1, seed=i), "mask": np.ones([2, 8820], np.float32)} for i in range(2)]
    model.adapt(batches)
    features = np.concatenate([model.network.frontend.features(batch["waveform"]) for batch in batches])
    np.testing.assert_allclose(features.mean(axis=(0, 1)), np.zeros(32), atol=1e-3)


def test_a_model_of_waveforms_asks_for_no_batch_and_converts_nothing():
    def batches():
        pytest.fail("a batch was asked for")
        yield

    model = kav.VAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=2)
    model.adapt(batches())
    with pytest.raises(ValueError, match="frontend=mel"):
        model.convert(noise(1, 1000, 1))
    with pytest.raises(ValueError, match="frontend=mel"):
        kav.models.with_vocoder(model, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"waveform_weight": 1.0}, "waveform_weight must be 0 with frontend=mel"),
        ({"stft_weight": 1.0}, "stft_weight must be 0 with frontend=mel"),
        ({"waveform_bands": 4}, "waveform_bands must be 0 with frontend=mel"),
        ({"mel_weight": 0.0}, "must not both be 0"),
    ],
)
def test_what_a_spectrogram_has_not_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        kav.VAE(**{**VAE, **wrong})


@pytest.mark.parametrize("samples", [1, 441, 9000])
def test_any_length_is_kept(model, vocoder, samples):
    sound = noise(2, samples, 1)
    for each in (model, vocoder, kav.models.with_vocoder(model, vocoder)):
        assert each.reconstruct(sound).shape == sound.shape
    assert model.convert(sound).shape == sound.shape


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_the_magnitudes_of_a_vocoder_have_the_given_bands(vocoder, level):
    """Whatever the network says."""
    network, sound = vocoder.network, level * noise(2, 8820, 1)
    wanted = network.mel.powers(network.encode(sound)).numpy()
    found = np.square(network.predict(network.encode(sound))) @ network.mel.matrix
    assert np.abs(np.log10(found / wanted)).mean() < 0.1


def test_an_untrained_vocoder_takes_bands_as_flat():
    network, sound = kav.models.Vocoder(**VOCODER).network, noise(1, 8820, 1)
    mel = network.mel.powers(network.encode(sound))
    flat = np.sqrt(invert_mel(mel, network.mel.matrix))
    assert np.linalg.norm(network.predict(network.encode(sound)) - flat) < 0.02 * np.linalg.norm(flat)


def test_a_vocoder_keeps_silence(vocoder):
    np.testing.assert_array_equal(vocoder.reconstruct(np.zeros([1, 4410, 1], np.float32)), 0.0)


def test_a_vocoder_learns_where_in_its_band_a_tone_lies():
    """Sines, each between the middles of two bands that hold many bins."""
    keras.utils.set_random_seed(0)
    vocoder = kav.models.Vocoder(**VOCODER)
    time = np.arange(8820) / 22050
    tones = np.stack([np.sin(2 * np.pi * hz * time) for hz in (3100, 3900, 5100, 6700)])[..., np.newaxis]
    vocoder.compile(keras.optimizers.Adam(0.01))
    losses = vocoder.fit(np.tile(tones.astype(np.float32), [16, 1, 1]), batch_size=4, epochs=6, verbose=0).history
    assert losses["convergence"][-1] < 0.6 * losses["convergence"][0]


def test_a_vocoder_makes_the_sound_and_is_trained_no_further(model, vocoder, tmp_path):
    joined = kav.models.with_vocoder(model, vocoder)
    sound = noise(1, 8820, 1)
    latents = model.encode(sound)
    np.testing.assert_allclose(joined.encode(sound), latents, atol=1e-5)
    bands = model.network.frontend.in_decades(model.network.predict(latents))
    expected = vocoder.decode(vocoder.network.mel.standardize(bands)).numpy()
    np.testing.assert_allclose(joined.decode(latents), expected, atol=1e-3 * np.abs(expected).max())
    assert [weight.shape for weight in joined.trainable_variables] == [w.shape for w in model.trainable_variables]
    joined.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.reconstruct(sound), joined.reconstruct(sound), atol=1e-5)


def test_a_vocoder_of_other_bands_is_refused(model):
    other = kav.models.Vocoder(**{**VOCODER, "mel_bands": 40})
    with pytest.raises(ValueError, match="the hop, n_fft, mel_bands"):
        kav.models.with_vocoder(model, other)


def test_a_vocoder_s_blocks_see_as_far_as_its_network_does(model):
    joined = kav.models.with_vocoder(model, kav.models.Vocoder(**{**VOCODER, "depth": 4}))
    assert (joined.context_frames - model.context_frames) * model.latent_hop == 4 * 441


@pytest.mark.parametrize("family", ["model", "vocoder"])
def test_blocks_are_faded_into_each_other(family, request, monkeypatch):
    """No step where two blocks meet, and elsewhere what the blocks are."""
    model = request.getfixturevalue(family)
    monkeypatch.setattr(blockwise, "BLOCK_SECONDS", 1.0)
    sound = tf.constant(0.3 * np.sin(2 * np.pi * 220 / 22050 * np.arange(60000)), tf.float32)[tf.newaxis, :, tf.newaxis]
    whole = model.reconstruct(sound).numpy()[0, :, 0]
    assert len(whole) == 60000
    steps, seam = np.abs(np.diff(whole)), slice(22050 - 2, 22050 + 2)
    assert steps[seam].max() <= np.delete(steps, seam).max()
    powers = [np.mean(whole[a : a + 2205] ** 2) for a in range(11025, 44100, 2205)]
    assert min(powers) > 0.2 * max(powers)


def test_an_evaluation_tells_what_the_conversion_costs(model):
    sounds = [("a", noise(9000, 1)), ("b", noise(9000, 1, seed=1))]
    report = kav.metrics.evaluate(model, sounds)
    rows = report.values
    assert (
        "conversion alone" in rows
        and rows["conversion alone"]["mel distance"] != rows["reconstruction"]["mel distance"]
    )
    name = "spectrogram distance (decades)"
    expected = [float(model.spectrogram_distance(s[None], model.encode(s[None]))[0]) for _, s in sounds]
    np.testing.assert_allclose(rows["reconstruction"][name], expected, rtol=1e-5)
    assert report.latents.shuffled_rise[name] > 0
