import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import VectorQuantizer
from keras_audio_vae.layers.quantizers.conscience import LEAST_SHARE, Conscience
from keras_audio_vae.layers.quantizers.nearest import nearest_codes

RNG = np.random.default_rng(11)


def tokens(seed, gain=1.0):
    """Gaussian vectors of many dimensions, where all codes are nearly as far from each: [4, 64, 24]."""
    return (gain * np.random.default_rng(seed).normal(size=[4, 64, 24])).astype(np.float32)


def trained(steps=150, gain=1.0, **options):
    quantizer = VectorQuantizer(32, 24, **{"kmeans_init": True, "conscience": 0.0, **options})
    step = tf.function(lambda batch: quantizer(batch, training=True).codes, autograph=False)
    for number in range(steps):
        step(tf.constant(tokens(number, gain)))
    return quantizer


def perplexity(quantizer):
    codes = np.concatenate([np.ravel(quantizer.encode(tokens(1000 + number))) for number in range(20)])
    shares = np.bincount(codes, minlength=32) / codes.size
    return np.exp(-np.sum(shares * np.log(np.maximum(shares, 1e-9))))


def test_handicaps_are_those_of_the_formula():
    conscience = Conscience(strength=1.5)
    shares = np.array([0.5, 0.3, 0.2 - 1e-4, 1e-4, 0.0], np.float32)
    np.testing.assert_array_equal(conscience.handicaps(tf.constant(shares)), np.zeros(5), "nothing is known yet")
    conscience.update(tf.constant(0.4), counts=tf.constant(True))
    expected = 1.5 * 2.0 * 0.4 * np.log(np.maximum(5 * shares, LEAST_SHARE))
    np.testing.assert_allclose(conscience.handicaps(tf.constant(shares)), expected, rtol=1e-5)


def test_the_choice_is_that_of_a_search_in_numpy():
    vectors, codebook = RNG.normal(size=[300, 7]).astype(np.float32), RNG.normal(size=[20, 7]).astype(np.float32)
    handicaps = RNG.normal(size=[20]).astype(np.float32)
    expected = (((vectors[:, None] - codebook) ** 2).sum(-1) + handicaps).argmin(1)
    np.testing.assert_array_equal(nearest_codes(tf.constant(vectors), tf.constant(codebook), handicaps), expected)
    assert (expected != nearest_codes(tf.constant(vectors), tf.constant(codebook)).numpy()).mean() > 0.1


def test_codes_are_used_more_evenly_for_nearly_the_same_error():
    plain, even = (trained(conscience=strength) for strength in (0.0, 2.0))
    assert perplexity(even) > 1.15 * perplexity(plain)
    held_out = tokens(5000)
    errors = [np.square(q(held_out).vectors.numpy() - held_out).mean() for q in (plain, even)]
    assert errors[1] < 1.02 * errors[0]


def test_the_choice_does_not_know_the_scale():
    once, louder = trained(20, conscience=2.0), trained(20, gain=4.0, conscience=2.0)
    np.testing.assert_array_equal(once.encode(tokens(77)), louder.encode(tokens(77, gain=4.0)))


def test_training_and_use_choose_the_same():
    quantizer = trained(conscience=2.0)
    quantizer.trainable = False
    frozen = quantizer(tokens(5), training=True)
    np.testing.assert_array_equal(frozen.codes, quantizer.encode(tokens(5)))
    np.testing.assert_array_equal(frozen.vectors, quantizer.decode(frozen.codes))


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="conscience must not be below 0"):
        VectorQuantizer(8, 4, conscience=-1.0)
