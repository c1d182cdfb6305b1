import math

import librosa
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.frontends.griffin_lim import advancing_phases, griffin_lim
from keras_audio_vae.frontends.signal import analysis_window, inverse_stft, num_frames, stft

RATE, HOP, N_FFT = 22050, 441, 1764


@pytest.fixture(scope="module")
def magnitudes():
    """Of a second of two partials that stay and of noise that dies away."""
    times, generator = np.arange(RATE) / RATE, np.random.default_rng(0)
    partials = 0.3 * np.sin(2 * np.pi * 220 * times) + 0.1 * np.sin(2 * np.pi * 663 * times)
    signal = partials + 0.2 * generator.normal(size=RATE) * np.exp(-8 * times)
    return tf.abs(stft(tf.constant(signal[np.newaxis], tf.float32), N_FFT, HOP))


def convergence(signal, magnitudes):
    """Spectral convergence: how far the signal's magnitudes are from the given ones, as a share of these."""
    found = tf.abs(stft(tf.convert_to_tensor(signal)[tf.newaxis], N_FFT, HOP))
    return float(tf.norm(found - magnitudes) / tf.norm(magnitudes))


def test_it_gets_as_near_as_librosa_does_in_as_many_iterations(magnitudes):
    ours = griffin_lim(magnitudes, N_FFT, HOP, iterations=32)[0]
    around = (N_FFT - HOP) // 2
    theirs = librosa.griffinlim(
        magnitudes[0].numpy().T, n_iter=32, hop_length=HOP, win_length=N_FFT, n_fft=N_FFT,
        window=analysis_window(N_FFT).numpy(), center=False, length=RATE + N_FFT - HOP, random_state=0,
    )[around : around + RATE]  # fmt: skip
    assert convergence(ours, magnitudes) <= convergence(theirs.astype(np.float32), magnitudes)


def test_momentum_gets_nearer(magnitudes):
    fast, plain = (griffin_lim(magnitudes, N_FFT, HOP, momentum=momentum)[0] for momentum in (0.99, 0.0))
    assert convergence(fast, magnitudes) < 0.9 * convergence(plain, magnitudes)


def test_phases_that_advance_are_a_better_start_than_random_ones(magnitudes):
    random = 2 * math.pi * tf.random.stateless_uniform(tf.shape(magnitudes), [0, 0])
    advancing, at_random = (
        convergence(inverse_stft(tf.complex(magnitudes * tf.cos(a), magnitudes * tf.sin(a)), N_FFT, HOP)[0], magnitudes)
        for a in (advancing_phases(magnitudes, N_FFT, HOP), random)
    )
    assert advancing < 0.6 * at_random


@pytest.mark.parametrize("hertz", [100.0, 1234.5])
def test_phases_of_a_tone_advance_at_its_frequency(hertz):
    tone = np.sin(2 * np.pi * hertz / RATE * np.arange(RATE)).astype(np.float32)
    magnitudes = tf.abs(stft(tone[np.newaxis], N_FFT, HOP))
    phases = advancing_phases(magnitudes, N_FFT, HOP).numpy()[0, 10:-10, round(hertz * N_FFT / RATE)]
    expected = 2 * np.pi * hertz * HOP / RATE
    errors = np.angle(np.exp(1j * (np.diff(phases) - expected)))
    assert abs(errors.mean()) < 2 * np.pi * 0.05 * HOP / N_FFT  # 0.05 bins
    assert np.abs(errors).max() < 0.3  # the random part of a peak's phase


@pytest.mark.parametrize("samples", [1, HOP, 3 * HOP + 1])
def test_silence_stays_digital_silence_of_any_length(samples):
    frames = num_frames(samples, HOP)
    signal = griffin_lim(tf.zeros([2, frames, N_FFT // 2 + 1]), N_FFT, HOP, iterations=3)
    np.testing.assert_array_equal(signal, np.zeros([2, frames * HOP]))


def test_sounds_of_a_batch_do_not_mix(magnitudes):
    both = griffin_lim(tf.concat([magnitudes, 0.1 * magnitudes[:, ::-1]], 0), N_FFT, HOP, iterations=4)
    alone = griffin_lim(magnitudes, N_FFT, HOP, iterations=4)
    np.testing.assert_allclose(both[:1], alone, atol=1e-4)
