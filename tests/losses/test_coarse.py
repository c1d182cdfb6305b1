import numpy as np
import pytest

from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.losses.coarse import CoarseOutline, coarse_mel

RATE, HOP, BANDS = 8000, 100, 12


def noise(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def test_it_is_the_log_of_mel_magnitudes():
    sound = noise(1, 1000, 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4 * HOP) / (4 * HOP))
    padded = np.pad(sound[0, :, 0], 300)
    for place in (0, 4, 9):
        first = 300 + place * HOP - 150  # the window is centred on the frame's own samples
        magnitude = np.abs(np.fft.rfft(window * padded[first : first + 4 * HOP]))
        expected = np.log10(np.maximum(magnitude @ mel_matrix(RATE, 4 * HOP, BANDS), 1e-5))
        np.testing.assert_allclose(coarse_mel(sound, HOP, BANDS, RATE)[0, place], expected, atol=1e-3)


def test_ten_times_the_sound_is_a_decade_and_channels_are_averaged():
    sound = noise(2, 1000, 1)
    once = coarse_mel(sound, HOP, BANDS, RATE).numpy()
    np.testing.assert_allclose(coarse_mel(10 * sound, HOP, BANDS, RATE), once + 1.0, atol=1e-4)
    both = np.concatenate([sound, 3 * sound], axis=-1)
    np.testing.assert_allclose(coarse_mel(both, HOP, BANDS, RATE), once + np.log10(2.0), atol=1e-4)


@pytest.mark.parametrize("samples", [1, 99, 100, 101])
def test_a_frame_per_hop_of_any_length(samples):
    assert coarse_mel(noise(1, samples, 1), HOP, BANDS, RATE).shape == (1, -(-samples // HOP), BANDS)


def test_distance_is_that_of_the_frames_that_sound():
    outline, sound = CoarseOutline(BANDS, HOP, RATE), noise(1, 1000, 1)
    own = coarse_mel(sound, HOP, BANDS, RATE).numpy()
    hidden = own.copy()
    hidden[:, :4] += 0.25
    hidden[:, 4:] += 99.0
    outline(hidden)
    outline.dense.set_weights([np.eye(BANDS), np.zeros(BANDS)])
    sounding = (np.arange(10) < 4).astype(np.float32)[None]
    np.testing.assert_allclose(outline.distance(sound, hidden, sounding), [0.25], rtol=1e-3)
