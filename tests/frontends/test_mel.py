import json

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.frontends import MelFrontEnd
from keras_audio_vae.frontends.mel import FLOOR_DECADES, METHODS
from keras_audio_vae.frontends.signal import analysis_window

RATE, HOP, N_FFT = 22050, 441, 1764


def noise(*shape, seed=0):
    return (0.2 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def tone(hertz, amplitude=0.3, samples=RATE):
    return (amplitude * np.sin(2 * np.pi * hertz / RATE * np.arange(samples))).astype(np.float32)


@pytest.fixture(scope="module", params=METHODS)
def frontend(request):
    return MelFrontEnd(RATE, HOP, N_FFT, bands=256, method=request.param)


@pytest.fixture
def small():
    """Two channels, 32 bands, few iterations, and statistics that are not those it began with."""
    frontend = MelFrontEnd(RATE, HOP, 2 * HOP, bands=32, channels=2, iterations=4)
    frontend.adapt([(noise(2, 10 * HOP, 2), np.ones([2, 10]))])
    return frontend


@pytest.mark.parametrize("bands", [128, 256])
def test_log_mel_is_that_of_librosa(bands):
    signal = noise(RATE) * np.linspace(0, 1, RATE, dtype=np.float32)
    before, beyond = (N_FFT - HOP) // 2, N_FFT - HOP - (N_FFT - HOP) // 2
    theirs = librosa.feature.melspectrogram(
        y=np.pad(signal, (before, beyond)), sr=RATE, n_fft=N_FFT, hop_length=HOP, window=analysis_window(N_FFT).numpy(),
        center=False, power=2.0, n_mels=bands,
    )  # fmt: skip
    ours = MelFrontEnd(RATE, HOP, N_FFT, bands).features(signal[np.newaxis, :, np.newaxis]).numpy()[0]
    np.testing.assert_allclose(ours, np.log10(np.maximum(theirs, 10**FLOOR_DECADES)).T, atol=1e-4)


@pytest.mark.parametrize(
    "sample_rate, hop, n_fft, bands", [(22050, 441, 1323, 256), (44100, 441, 2205, 256), (1600, 80, 160, 128)]
)
def test_too_short_a_window_is_refused_and_one_that_does_is_named(sample_rate, hop, n_fft, bands):
    with pytest.raises(ValueError, match=rf"n_fft \({n_fft} samples\) is too short for {bands} mel bands") as error:
        MelFrontEnd(sample_rate, hop, n_fft, bands)
    enough = int(str(error.value).split("Take n_fft = ")[1].split()[0])
    matrix = MelFrontEnd(sample_rate, hop, enough, bands).matrix
    assert enough % hop == 0 and matrix.any(axis=0).all()
    with pytest.raises(ValueError, match="too short"):
        MelFrontEnd(sample_rate, hop, enough - hop, bands)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of hop"):
        MelFrontEnd(RATE, HOP, n_fft=2000)
    with pytest.raises(ValueError, match="method must be one of joint, griffin_lim"):
        MelFrontEnd(RATE, HOP, N_FFT, method="neural")


def test_statistics_are_those_of_the_frames_that_count():
    frontend = MelFrontEnd(RATE, HOP, N_FFT, bands=32, channels=2)
    waveform = noise(3, 10 * HOP, 2) * np.linspace(1, 0.01, 10 * HOP, dtype=np.float32)[:, np.newaxis]
    sounding = np.ones([3, 10], np.float32)
    sounding[1, 4:] = 0.0
    frontend.adapt((waveform[i : i + 1], sounding[i : i + 1]) for i in range(3))
    features = frontend.features(waveform).numpy().reshape(3, 10, 2, 32)[sounding > 0]
    np.testing.assert_allclose(features.mean(axis=(0, 1)), np.zeros(32), atol=1e-3)
    np.testing.assert_allclose(features.std(axis=(0, 1)), np.ones(32), atol=1e-3)


def test_bands_of_silence_are_not_blown_up_and_no_frame_at_all_is_refused(small):
    small.adapt([(np.zeros([1, HOP, 2], np.float32), np.ones([1, 1]))])
    assert np.abs(small.features(np.full([1, HOP, 2], 1e-6, np.float32))).max() < 50.0
    with pytest.raises(ValueError, match="at least one frame"):
        small.adapt([(noise(1, HOP, 2), np.zeros([1, 1]))])


def test_decades_come_back_from_the_features(small):
    waveform = noise(3, 5 * HOP, 2)
    features = small.features(waveform)
    np.testing.assert_allclose(small.in_decades(features), small.decades(waveform), atol=1e-5)
    np.testing.assert_allclose(small.standardize(small.in_decades(features)), features, atol=1e-5)


def test_statistics_and_arguments_are_saved_and_restored(small):
    again = MelFrontEnd.from_config(json.loads(json.dumps(small.get_config())))
    again.set_weights(small.get_weights())
    waveform = noise(1, 5 * HOP, 2)
    features = again.features(waveform)
    np.testing.assert_array_equal(features, small.features(waveform))
    np.testing.assert_array_equal(again.synthesize(features), small.synthesize(features))
    assert (again.method, again.iterations, again.bands) == ("joint", 4, 32)


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 10 * HOP + 17])
def test_any_length_has_as_many_frames_as_cover_it(small, samples):
    features = small.features(noise(2, samples, 2))
    frames = -(-samples // HOP)
    assert features.shape == (2, frames, small.output_bins)
    assert small.synthesize(features).shape == (2, frames * HOP, 2)


@pytest.fixture(scope="module")
def tones(frontend):
    """Tones of a second and what they become: {Hz: (original, synthesised)}."""
    originals = {hertz: tone(hertz) for hertz in (110.0, 440.0, 3000.0, 7000.0)}
    sounds = frontend.synthesize(frontend.features(np.stack(list(originals.values()))[..., np.newaxis])).numpy()
    return {hertz: (originals[hertz], sound[:, 0]) for hertz, sound in zip(originals, sounds, strict=True)}


@pytest.mark.parametrize("hertz", [110.0, 440.0, 3000.0, 7000.0])
def test_a_tone_keeps_its_frequency_and_level(frontend, tones, hertz):
    """Away from the ends; the frequency within one bin of the analysis, the level within 1 dB.

    Magnitudes that are settled first are flat within a band: the frequency is then no surer than half of it, 0.7 %.
    """
    allowed = RATE / N_FFT if frontend.method == "joint" else max(RATE / N_FFT, 0.007 * hertz)
    middles = [signal[N_FFT:-N_FFT] for signal in tones[hertz]]
    spectra = [np.abs(np.fft.rfft(middle * np.hanning(middle.size))) for middle in middles]
    frequencies = [spectrum.argmax() * RATE / middles[0].size for spectrum in spectra]
    assert abs(frequencies[1] - frequencies[0]) <= allowed
    levels = [np.sqrt(np.mean(middle**2)) for middle in middles]
    assert abs(20 * np.log10(levels[1] / levels[0])) < 1.0


def test_silence_stays_digital_silence(frontend, small):
    """Also where undoing the standardisation rounds."""
    for some in (frontend, small):
        features = some.features(np.zeros([1, 5 * HOP, some.channels], np.float32))
        np.testing.assert_array_equal(some.synthesize(features), np.zeros([1, 5 * HOP, some.channels]))


def test_channels_do_not_mix(small):
    mono = MelFrontEnd(RATE, HOP, 2 * HOP, bands=32, iterations=4)
    mono.set_weights(small.get_weights())
    waveform = noise(2, 6 * HOP, 2) * np.float32([1.0, 0.1])
    stereo = small.features(waveform)
    apart = [mono.features(waveform[..., channel : channel + 1]) for channel in (0, 1)]
    np.testing.assert_allclose(stereo, tf.concat(apart, -1), atol=1e-5)
    sounds = tf.concat([mono.synthesize(features) for features in apart], -1)
    np.testing.assert_allclose(small.synthesize(stereo), sounds, atol=1e-4)


def test_gradients_pass_the_analysis_and_not_the_search(small):
    waveform = tf.constant(noise(1, 4 * HOP, 2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(waveform)
        features = small.features(waveform)
        total, sound = tf.reduce_sum(tf.square(features)), small.synthesize(features)
    gradient = tape.gradient(total, waveform).numpy()
    assert np.isfinite(gradient).all() and (gradient != 0).mean() > 0.99
    assert tape.gradient(sound, waveform) is None


def test_it_computes_in_float32_whatever_the_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        frontend = MelFrontEnd(RATE, HOP, 2 * HOP, bands=32, iterations=1)
        features = frontend(noise(1, 2 * HOP, 1))
    finally:
        keras.config.set_dtype_policy(before)
    assert features.dtype == frontend.mean.dtype == frontend.synthesize(features).dtype == "float32"
    same = MelFrontEnd(RATE, HOP, 2 * HOP, bands=32).features(noise(1, 2 * HOP, 1))
    np.testing.assert_array_equal(features, same)


@pytest.mark.parametrize("method", METHODS)
def test_synthesis_can_be_exported_for_any_batch_and_length(method, tmp_path):
    frontend = MelFrontEnd(RATE, HOP, 2 * HOP, bands=32, method=method, iterations=4)
    frontend.adapt([(noise(1, 10 * HOP, 1), np.ones([1, 10]))])
    module = tf.Module()
    module.frontend = frontend
    module.synthesize = tf.function(
        frontend.synthesize, input_signature=[tf.TensorSpec([None, None, 32])], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch, frames in ((2, 6), (1, 3)):
        features = frontend.features(noise(batch, frames * HOP, 1))
        np.testing.assert_allclose(loaded.synthesize(features), module.synthesize(features), atol=1e-4)
