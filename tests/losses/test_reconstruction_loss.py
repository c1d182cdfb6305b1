import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.losses import ReconstructionLoss, spectral_terms

WEIGHTS = {"mse_weight": 0.5, "waveform_weight": 1.5, "stft_weight": 2.0, "mel_weight": 0.25}


def noise(*shape, seed=0, level=0.3):
    return (level * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


@pytest.fixture
def loss():
    return ReconstructionLoss(22050, **WEIGHTS)


def test_terms_are_their_formulas_and_the_total_their_weighted_sum(loss):
    original, estimate = noise(3, 2000, 2), noise(3, 2000, 2, seed=1)
    terms = loss.terms(original, estimate, tf.ones([3, 2000]))
    error = (estimate - original).astype(np.float64)
    np.testing.assert_allclose(terms["mse"], (error**2).mean(axis=(1, 2)), rtol=1e-5)
    relative = np.linalg.norm(error, axis=(1, 2)) / np.linalg.norm(original, axis=(1, 2))
    np.testing.assert_allclose(terms["waveform"], relative, rtol=1e-3)
    mono = [spectral_terms(original[..., c], estimate[..., c], tf.ones([3, 2000]), 22050) for c in (0, 1)]
    for name in ("stft", "mel"):
        expected = (getattr(mono[0], name) + getattr(mono[1], name)) / 2
        np.testing.assert_allclose(terms[name], expected, rtol=1e-5)
    total = sum(WEIGHTS[f"{name}_weight"] * term for name, term in terms.items())
    np.testing.assert_allclose(loss.total(terms), total, rtol=1e-6)


@pytest.mark.parametrize("only", WEIGHTS)
def test_a_term_without_weight_is_not_computed(only):
    loss = ReconstructionLoss(22050, **{name: weight * (name == only) for name, weight in WEIGHTS.items()})
    terms = loss.terms(noise(1, 500, 1), noise(1, 500, 1, seed=1), tf.ones([1, 500]))
    assert tuple(terms) == loss.names == (only.removesuffix("_weight"),)


def test_garbage_under_the_mask_changes_nothing(loss):
    original, estimate = noise(2, 3000, 1), noise(2, 3000, 1, seed=1)
    mask = np.ones((2, 3000), np.float32)
    mask[0, 1700:], mask[1, :100] = 0.0, 0.0
    clean = loss.terms(original, estimate, mask)
    hidden = 1.0 - mask[..., None]
    dirty = loss.terms(original + 9 * hidden, estimate + hidden * noise(2, 3000, 1, level=5.0), mask)
    for name, term in clean.items():
        np.testing.assert_allclose(dirty[name], term, rtol=1e-6)


def test_a_padded_chunk_costs_what_the_unpadded_one_does(loss):
    original, estimate = noise(2, 1500, 1), noise(2, 1500, 1, seed=1)
    padding = [(0, 0), (0, 777), (0, 0)]
    plain = loss.terms(original, estimate, tf.ones([2, 1500]))
    mask = np.pad(np.ones((2, 1500), np.float32), padding[:2])
    padded = loss.terms(np.pad(original, padding), np.pad(estimate, padding, constant_values=3.0), mask)
    for name, term in plain.items():
        np.testing.assert_allclose(padded[name], term, rtol=1e-4)


@pytest.mark.parametrize("sound", [0.0, 1.0])
def test_silence_and_padding_give_finite_terms_and_gradients(loss, sound):
    estimate, mask = tf.zeros([2, 1500, 1]), sound * tf.ones([2, 1500])
    with tf.GradientTape() as tape:
        tape.watch(estimate)
        total = loss.total(loss.terms(tf.zeros([2, 1500, 1]), estimate, mask))
    assert np.isfinite(total).all() and np.isfinite(tape.gradient(total, estimate)).all()


def test_the_relative_error_does_not_depend_on_the_level_of_what_is_audible(loss):
    original, estimate = noise(1, 2000, 1), noise(1, 2000, 1, seed=1)
    loud, soft = (
        loss.terms(level * original, level * estimate, tf.ones([1, 2000]))["waveform"] for level in (1.0, 0.2)
    )
    np.testing.assert_allclose(loud, soft, rtol=1e-2)
