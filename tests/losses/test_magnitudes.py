import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.frontends.signal import stft
from keras_audio_vae.losses.magnitudes import MagnitudeLoss

LOSS = MagnitudeLoss(n_fft=840, hop=210, convergence_weight=1.0, log_magnitude_weight=1.0)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def magnitudes(sound):
    """float32 [batch, frames, channels * bins]: the channels side by side."""
    return np.concatenate([np.abs(stft(sound[..., c], 840, 210)) for c in range(sound.shape[-1])], axis=-1)


@pytest.mark.parametrize("channels", [1, 2])
def test_terms_are_numpys(channels):
    sound, other = noise(2, 4200, channels), noise(2, 4200, channels, seed=1)
    terms = LOSS.terms(sound, magnitudes(other), tf.ones([2, 4200]))
    x, y = magnitudes(sound).astype(np.float64), magnitudes(other).astype(np.float64)
    norms = [np.sqrt(np.sum(each**2, axis=(1, 2))) for each in (y - x, x)]
    np.testing.assert_allclose(terms["convergence"], norms[0] / norms[1], rtol=1e-3)
    np.testing.assert_allclose(terms["log_magnitude"], np.abs(np.log(y / x)).mean(axis=(1, 2)), rtol=1e-3)


def test_padding_is_not_heard():
    sound, mask = noise(1, 4200, 1), np.ones([1, 4200], np.float32)
    mask[:, 2100:] = 0.0
    kept = magnitudes(sound * mask[..., np.newaxis])
    other = kept.copy()
    other[:, 10:] += 1.0  # frames of padding alone
    for name, term in LOSS.terms(sound, other, mask).items():
        np.testing.assert_allclose(term, LOSS.terms(sound, kept, mask)[name], atol=1e-6)


def test_gradients_are_finite_at_silence():
    prediction = tf.zeros([1, 20, 421])
    with tf.GradientTape() as tape:
        tape.watch(prediction)
        loss = LOSS.total(LOSS.terms(tf.zeros([1, 4200, 1]), prediction, tf.ones([1, 4200])))
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, prediction)).all()


def test_a_loss_of_no_term_is_refused():
    with pytest.raises(ValueError, match="must not both be 0"):
        MagnitudeLoss(840, 210, 0.0, 0.0)
