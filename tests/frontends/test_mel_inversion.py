import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.frontends.griffin_lim import griffin_lim, power
from keras_audio_vae.frontends.mel_inversion import approach_bands, invert_mel, mel_to_signal
from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.frontends.signal import stft

RATE, HOP, N_FFT = 22050, 441, 1764
BINS = N_FFT // 2 + 1
MATRIX = mel_matrix(RATE, N_FFT, 128)


def noise_powers(*shape):
    return np.square(np.random.default_rng(0).normal(size=shape)).astype(np.float32)


def test_inverted_bands_are_the_given_ones_and_no_bin_is_negative():
    mel = noise_powers(2, 5, BINS) @ MATRIX
    powers = invert_mel(tf.constant(mel), MATRIX).numpy()
    assert powers.min() >= 0.0
    np.testing.assert_allclose(powers @ MATRIX, mel, rtol=0.1)


def test_inversion_weighs_soft_bands_as_loud_ones():
    """Bands a hundred million times softer than those below come back as exactly as they do."""
    levels = np.where(np.arange(BINS) < 300, 1.0, 1e-8).astype(np.float32)
    mel = (noise_powers(1, 5, BINS) * levels) @ MATRIX
    soft = slice(-20, None)
    powers = invert_mel(tf.constant(mel), MATRIX).numpy()
    np.testing.assert_allclose((powers @ MATRIX)[..., soft], mel[..., soft], rtol=0.1)


def test_the_inverse_of_flat_bands_is_flat():
    """Of the many spectra with the same bands, the plainest."""
    powers = invert_mel(tf.constant(np.ones([1, 1, BINS], np.float32) @ MATRIX), MATRIX).numpy()[0, 0]
    held = MATRIX.any(axis=1)
    np.testing.assert_allclose(powers[held], np.ones(held.sum()), rtol=1e-4)
    np.testing.assert_array_equal(powers[~held], np.zeros((~held).sum()))


@pytest.mark.parametrize("bands", [128, 256])
def test_searching_magnitudes_too_gets_nearer_to_the_bands_than_searching_phases_alone(bands):
    times, matrix = np.arange(RATE) / RATE, mel_matrix(RATE, N_FFT, bands)
    chord = sum(np.sin(2 * np.pi * hertz * times) / n for n, hertz in enumerate((330.0, 660.0, 2500.0, 4100.0), 1))
    noise = 0.1 * np.random.default_rng(0).normal(size=RATE)
    signal = tf.constant((chord * np.exp(-3 * times) + noise)[np.newaxis], tf.float32)
    mel = power(stft(signal, N_FFT, HOP)) @ matrix

    def distance(found):
        return float(tf.reduce_mean(tf.abs(tf.math.log((power(stft(found, N_FFT, HOP)) @ matrix) / mel))))

    joint = distance(mel_to_signal(mel, matrix, N_FFT, HOP))
    apart = distance(griffin_lim(tf.sqrt(invert_mel(mel, matrix)), N_FFT, HOP))
    assert joint < 0.75 * apart


def test_a_signal_that_has_the_wanted_bands_stays_and_a_softer_one_is_raised_to_them():
    times = np.arange(20 * HOP) / RATE  # sines: no band holds the lowest and the highest bin, where noise has power too
    signal = tf.constant(sum(np.sin(2 * np.pi * hertz * times) for hertz in (330.0, 2500.0))[np.newaxis], tf.float32)
    mel = power(stft(signal, N_FFT, HOP)) @ MATRIX
    there = approach_bands(signal, mel, MATRIX, N_FFT, HOP, iterations=3)
    np.testing.assert_allclose(there, signal, atol=0.05)
    raised = approach_bands(0.1 * signal, mel, MATRIX, N_FFT, HOP, iterations=3)
    np.testing.assert_allclose(raised, signal, atol=0.05)


def test_bands_of_zero_are_digital_silence_beside_a_sound():
    mel = np.zeros([2, 20, 128], np.float32)
    mel[0, :5] = noise_powers(5, 128)
    signals = mel_to_signal(tf.constant(mel), MATRIX, N_FFT, HOP, iterations=3).numpy()
    assert np.abs(signals[0, : 5 * HOP]).max() > 0.1
    np.testing.assert_array_equal(signals[1], np.zeros(20 * HOP))
    assert np.abs(signals[0, 12 * HOP :]).max() < 1e-3
