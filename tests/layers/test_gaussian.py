import numpy as np
import pytest
import tensorflow_probability as tfp

from keras_audio_vae.layers import GaussianHead


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kl_in_closed_form(mean, deviation):
    return 0.5 * (mean**2 + deviation**2 - np.log(deviation**2) - 1.0)


def kl_by_tfp(mean, deviation):
    normal = tfp.distributions.Normal(mean, deviation)
    return tfp.distributions.kl_divergence(normal, tfp.distributions.Normal(0.0, 1.0)).numpy()


def test_kl_of_its_posterior_is_the_closed_form():
    mean, deviation = (part.numpy() for part in GaussianHead(4)(noise(2, 9, 6)))
    assert mean.shape == deviation.shape == (2, 9, 4) and mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(kl_by_tfp(mean, deviation), kl_in_closed_form(mean, deviation), rtol=1e-5)


def test_skip_passes_unchanged_at_the_start():
    skip = noise(2, 9, 3, seed=1)
    mean, _ = GaussianHead(8, skip_dim=3)(noise(2, 9, 6), skip)
    np.testing.assert_array_equal(mean[..., :3], skip)
    assert np.abs(mean[..., 3:]).min() > 0, "the other dimensions are the network's"


@pytest.mark.parametrize("level", [-1e6, 1e6])
def test_deviation_is_bounded_whatever_the_network_says(level):
    head = GaussianHead(4)
    head.build((None, None, 6))
    head.log_variance.set_weights([np.full((6, 4), level, np.float32), np.zeros(4, np.float32)])
    _, deviation = head(np.ones((1, 2, 6), np.float32))
    np.testing.assert_allclose(deviation, np.full((1, 2, 4), np.exp(np.sign(level) * 4.0)), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 0.7])
@pytest.mark.parametrize("scale", [0.03, 1.0, 100.0])
def test_batch_normalised_means_guarantee_a_kl(gamma, scale):
    head = GaussianHead(8, skip_dim=3, gamma=gamma)
    mean, _ = head(scale * noise(4, 35, 6), scale * noise(4, 35, 3, seed=1), training=True)
    per_dimension = kl_by_tfp(mean, 1.0).mean(axis=(0, 1))  # a deviation of 1 costs least
    assert (per_dimension >= 0.98 * gamma**2 / 2).all()
    np.testing.assert_allclose(np.std(mean, axis=(0, 1)), np.full(8, gamma), rtol=1e-2)


def test_batch_normalisation_uses_what_it_learnt_outside_training():
    head = GaussianHead(4, gamma=0.6)
    inputs = 3.0 + noise(8, 35, 6)
    head(inputs)
    head.normalization.momentum = 0.0
    head(inputs, training=True)
    moving = [weight.numpy() for weight in head.normalization.non_trainable_variables]
    in_training, _ = head(inputs, training=True)
    outside, _ = head(inputs)
    np.testing.assert_allclose(outside, in_training, atol=1e-2)
    head(inputs[:1] * 5)
    for before, weight in zip(moving, head.normalization.non_trainable_variables, strict=True):
        np.testing.assert_allclose(before, weight, rtol=1e-3)
    one, _ = head(inputs[:1])
    np.testing.assert_allclose(one, outside[:1], atol=1e-5, err_msg="an example's latents must not depend on its batch")


def sounding(*lengths, frames=35):
    return (np.arange(frames) < np.array(lengths)[:, None]).astype(np.float32)


def test_padding_has_no_part_in_the_statistics():
    mask = sounding(35, 20, 3, 0)
    inputs = noise(4, 35, 6) + 50.0 * (1.0 - mask[..., None])
    head = GaussianHead(8, gamma=0.5)
    mean, _ = head(inputs, None, mask, training=True)
    heard = mean.numpy()[mask > 0]
    np.testing.assert_allclose(heard.mean(axis=0), np.zeros(8), atol=1e-5)
    np.testing.assert_allclose(heard.std(axis=0), np.full(8, 0.5), rtol=1e-3)
    assert (kl_by_tfp(heard, 1.0).mean(axis=0) >= 0.99 * 0.5**2 / 2).all()
    assert np.abs(head.normalization.moving_mean).max() < 0.5
