import numpy as np
import pytest
import tensorflow_probability as tfp

from keras_audio_vae.metrics import active_units, bits_per_second, kl_nats_per_frame
from keras_audio_vae.metrics.latents import fit_frames

RNG = np.random.default_rng(5)


def test_kl_per_frame_is_that_of_the_whole_diagonal_normal():
    mean, scale = RNG.normal(size=[2, 9, 4]), RNG.uniform(0.1, 2.0, size=[2, 9, 4])
    per_dimension = 0.5 * (mean**2 + scale**2 - 1) - np.log(scale)
    posterior = tfp.distributions.MultivariateNormalDiag(mean, scale)
    prior = tfp.distributions.MultivariateNormalDiag(np.zeros(4), np.ones(4))
    expected = np.mean(tfp.distributions.kl_divergence(posterior, prior).numpy())
    assert kl_nats_per_frame(per_dimension) == pytest.approx(expected)


def test_a_fair_coin_per_frame_is_one_bit_per_frame():
    assert bits_per_second(np.log(2.0), 35.0) == pytest.approx(35.0)


def test_active_units_are_those_whose_mean_varies_over_all_frames():
    latents = RNG.normal(size=[3, 200, 5]) * [1.0, 0.2, 0.05, 0.0, 0.0]
    latents[1, :, 3] = 4.0  # constant in every recording, yet different between them
    latents[..., 4] = 4.0  # constant everywhere: not active, however large
    assert active_units(latents) == 3
    assert active_units(latents, threshold=1e-4) == 4


def test_latents_of_another_recording_are_cut_or_repeated():
    latents = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(fit_frames(latents, 2), latents[:2])
    np.testing.assert_array_equal(fit_frames(latents, 7), latents[[0, 1, 2, 0, 1, 2, 0]])
