import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.frontends import LappedTransform, STFTFrontEnd, WaveformFrontEnd
from keras_audio_vae.frontends.companding import compress

FRONTENDS = {
    "stft": lambda channels=1: STFTFrontEnd(hop=10, n_fft=40, channels=channels),
    "waveform": lambda channels=1: WaveformFrontEnd(hop=10, channels=channels),
}


def noise(*shape, seed=0):
    return 0.5 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(params=FRONTENDS)
def make(request):
    return FRONTENDS[request.param]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 10, 11, 105])
def test_features_have_one_frame_per_started_hop(make, channels, samples):
    features = make(channels).features(noise(3, samples, channels))
    assert features.shape[:2] == (3, -(-samples // 10))


@pytest.mark.parametrize("channels", [1, 2])
def test_outputs_of_zero_leave_the_draft_as_it_is(make, channels):
    frontend, draft = make(channels), noise(2, 120, channels)
    same = frontend.synthesize(tf.zeros([2, 12, frontend.output_bins]), draft)
    np.testing.assert_allclose(same, draft, atol=2e-3)


def test_a_silent_draft_and_outputs_of_zero_are_silence(make):
    frontend = make()
    silence = frontend.synthesize(tf.zeros([1, 12, frontend.output_bins]), tf.zeros([1, 120, 1])).numpy()
    assert silence.shape == (1, 120, 1) and np.abs(silence).max() < 1e-3


def test_channels_do_not_mix(make):
    stereo, mono, waveform = make(2), make(1), noise(2, 60, 2)
    left, right = (mono.features(waveform[..., channel : channel + 1]) for channel in (0, 1))
    np.testing.assert_allclose(stereo.features(waveform), tf.concat([left, right], -1), atol=1e-5)
    outputs = tf.constant(noise(2, 6, stereo.output_bins, seed=1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(outputs)
        sounds = [
            tf.reduce_sum(tf.square(sound)) for sound in tf.unstack(stereo.synthesize(outputs, waveform), axis=-1)
        ]
    left, right = (tape.gradient(sound, outputs).numpy().any(axis=(0, 1)) for sound in sounds)
    assert not (left & right).any() and (left | right).all(), "each output belongs to one channel"


@pytest.mark.parametrize("level", [0.0, 1e-9, 1e-5, 1.0, 100.0])
def test_features_and_synthesis_have_finite_values_and_gradients_at_any_level(make, level):
    frontend = make()
    waveform = tf.constant(level * noise(1, 60, 1))
    outputs = tf.constant(level * noise(1, 6, frontend.output_bins))
    with tf.GradientTape() as tape:
        tape.watch([waveform, outputs])
        total = tf.reduce_sum(frontend.features(waveform)) + tf.reduce_sum(frontend.synthesize(outputs, waveform))
    for tensor in (total, *tape.gradient(total, [waveform, outputs])):
        assert np.isfinite(tensor).all()


def test_an_enormous_log_gain_is_bounded():
    frontend = FRONTENDS["stft"]()
    outputs = np.full((1, 6, frontend.output_bins), 1e4, np.float32)
    assert np.isfinite(frontend.synthesize(outputs, noise(1, 60, 1))).all()


def test_stft_features_hold_level_and_direction_of_each_bin():
    frontend = FRONTENDS["stft"]()
    soft, loud = (frontend.features(level * noise(1, 100, 1)).numpy() for level in (0.1, 1.0))
    (soft_log, *soft_parts), (loud_log, *loud_parts) = (np.split(x, 3, axis=-1) for x in (soft, loud))
    np.testing.assert_allclose(loud_log - soft_log, np.full_like(soft_log, 0.25 * np.log(10)), atol=1e-2)
    angles = [np.arctan2(*parts) for parts in (soft_parts, loud_parts)]
    np.testing.assert_allclose(np.cos(angles[0] - angles[1]), np.ones_like(angles[0]), atol=1e-3)


@pytest.mark.parametrize("hop", [10, 7])
@pytest.mark.parametrize("samples", [1, 9, 70, 75])
def test_complete_lapped_transform_reconstructs_every_sample(hop, samples):
    transform, signal = LappedTransform(hop, bands=hop, channels=2), noise(2, samples, 2)
    again = transform.synthesize(transform.analyse(signal)).numpy()
    assert again.shape == (2, -(-samples // hop) * hop, 2)
    np.testing.assert_allclose(again[:, :samples], signal, atol=1e-4)
    np.testing.assert_allclose(again[:, samples:], 0.0, atol=1e-4)


def test_a_few_bands_keep_what_is_low_and_drop_what_is_high():
    transform = LappedTransform(hop=100, bands=20)  # up to a tenth of the sample rate
    inner = slice(200, -200)
    time = np.arange(2000)
    for frequency, kept in ((0.05, 1.0), (0.2, 0.0)):
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)[None, :, None]
        through = transform.synthesize(transform.analyse(tone)).numpy()
        np.testing.assert_allclose(through[:, inner], kept * tone[:, inner], atol=0.02)


def test_coefficients_of_the_lapped_transform_are_companded_inner_products():
    transform, signal = LappedTransform(hop=6, bands=4), noise(1, 30, 1)
    functions = transform.analysis_kernel.numpy()
    second = signal[0, 6 - 3 : 18 - 3, 0] @ functions  # frame 1 begins half a hop before its own samples
    np.testing.assert_allclose(transform.analyse(signal)[0, 1], compress(second), atol=1e-5)


@pytest.mark.parametrize("n_fft", [100, 10, 45])
def test_window_must_be_a_multiple_of_the_hop(n_fft):
    hop = 30 if n_fft == 100 else 10
    with pytest.raises(ValueError, match="n_fft"):
        STFTFrontEnd(hop=hop, n_fft=n_fft)
