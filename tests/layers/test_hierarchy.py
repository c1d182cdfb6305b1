import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers import BottomUp, ResidualGaussianHead, StandardPrior, TopDown, TwoLevels, VampPrior

Normal = tfp.distributions.Normal


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def shaken(layer, scale=0.3):
    for number, weight in enumerate(layer.trainable_variables):
        weight.assign_add(scale * noise(*weight.shape, seed=number))
    return layer


@pytest.fixture(scope="module")
def gaussian():
    """What a head with weights of all kinds makes of two examples of nine frames."""
    head = ResidualGaussianHead(4, skip_dim=2)
    inputs = noise(2, 9, 6), noise(2, 9, 5, seed=1), noise(2, 9, 2, seed=2)
    head(*inputs)
    return shaken(head)(*inputs)


def kl_of_levels(gaussian):
    return tfp.distributions.kl_divergence(gaussian.innovation, Normal(0.0, 1.0)).numpy()


def test_kl_is_that_of_the_two_distributions(gaussian):
    expected = tfp.distributions.kl_divergence(gaussian.posterior, gaussian.prior)
    assert np.ptp(gaussian.prior_deviation) > 0.5 and np.ptp(gaussian.ratio) > 0.1  # so that all parts matter
    np.testing.assert_allclose(kl_of_levels(gaussian), expected, rtol=1e-4, atol=1e-5)


def test_kl_is_what_draws_of_the_posterior_say(gaussian):
    drawn = gaussian.posterior.sample(100_000, seed=0)
    estimate = tf.reduce_mean(gaussian.posterior.log_prob(drawn) - gaussian.prior.log_prob(drawn), axis=0)
    np.testing.assert_allclose(kl_of_levels(gaussian), estimate, rtol=0.02, atol=0.02)


def test_a_head_that_says_nothing_leaves_the_posterior_at_the_prior():
    head = ResidualGaussianHead(4)
    inputs = noise(2, 9, 6), noise(2, 9, 5, seed=1)
    head(*inputs)
    shaken(head.expectation)
    for weight in (*head.difference.weights, *head.log_variance.weights):
        weight.assign(tf.zeros_like(weight))
    gaussian = head(*inputs)
    np.testing.assert_allclose(gaussian.posterior.loc, gaussian.prior.loc, atol=1e-6)
    np.testing.assert_allclose(gaussian.posterior.scale, gaussian.prior.scale, rtol=1e-6)
    np.testing.assert_allclose(kl_of_levels(gaussian), 0.0, atol=1e-6)
    assert np.abs(gaussian.prior.loc).max() > 0.1


def test_the_prior_begins_as_a_standard_normal_and_the_skip_arrives_unchanged():
    skip = noise(2, 9, 3, seed=2)
    gaussian = ResidualGaussianHead(8, skip_dim=3)(noise(2, 9, 6), noise(2, 9, 5, seed=1), skip)
    np.testing.assert_array_equal(gaussian.prior_mean, np.zeros((2, 9, 8)))
    np.testing.assert_array_equal(gaussian.prior_deviation, np.ones((2, 9, 8)))
    np.testing.assert_allclose(gaussian.posterior.loc[..., :3], skip, rtol=1e-6)
    assert np.abs(gaussian.posterior.loc[..., 3:]).min() > 0
    np.testing.assert_allclose(gaussian.ratio, np.exp(0.5 * 8 * np.tanh(-4 / 8)), rtol=1e-5)


@pytest.mark.parametrize("level", [-1e6, 1e6])
def test_neither_a_rate_nor_a_gradient_runs_away(level):
    head = ResidualGaussianHead(4, skip_dim=4)
    inputs = noise(1, 3, 6), noise(1, 3, 5), tf.constant(noise(1, 3, 4))
    head(*inputs)
    for dense in (head.expectation, head.log_variance):
        dense.bias.assign(tf.fill(dense.bias.shape, level))
    head.expectation.bias[:4].assign(tf.zeros(4))
    with tf.GradientTape() as tape:
        kl = tf.reduce_sum(tfp.distributions.kl_divergence(head(*inputs).innovation, Normal(0.0, 1.0)))
    assert np.isfinite(kl)
    for gradient in tape.gradient(kl, head.trainable_variables):
        assert np.isfinite(gradient).all()


def test_the_prior_learns_from_the_kl():
    """The best prior of latents that are the context, scaled, expects just that."""
    head = ResidualGaussianHead(1)
    context = noise(64, 5, 1)
    hidden = np.zeros((64, 5, 1), np.float32)
    head(hidden, context)
    head.difference.dense.kernel.assign([[0.0], [0.5]])  # the posterior's mean is the prior's and half the context
    expectation = head.expectation

    def train():
        with tf.GradientTape() as tape:
            gaussian = head(hidden, context)
            # Its mean held where it is, as data would: 2 * context, whatever the prior.
            shift = (2.0 * context - gaussian.prior_mean) / gaussian.prior_deviation
            kl = tf.reduce_mean(tfp.distributions.kl_divergence(Normal(shift, 1.0), Normal(0.0, 1.0)))
        for weight, gradient in zip(expectation.weights, tape.gradient(kl, expectation.weights), strict=True):
            weight.assign_sub(0.1 * gradient)

    step = tf.function(train, autograph=False)
    for _ in range(300):
        step()
    np.testing.assert_allclose(head.prior(context).loc, 2.0 * context, atol=0.1)


def test_slow_frames_see_their_own_fast_frames_and_no_others():
    layer = BottomUp(width=4, stride=5, depth=2)
    hidden = noise(1, 20, 3)
    before = layer(hidden).numpy()
    other = hidden.copy()
    other[:, 7] += 1.0
    changed = np.abs(layer(other).numpy() - before).max(axis=(0, 2)) > 1e-6
    assert changed.tolist() == [False, True, False, False]


def test_a_slow_latent_reaches_as_far_as_is_said_and_tells_its_fast_frames_apart():
    layer = TopDown(width=4, stride=5, depth=2)
    latents = noise(1, 9, 3)
    before = layer(latents).numpy()
    latents[:, 4] += 1.0
    changes = np.abs(layer(latents).numpy() - before).max(axis=(0, 2))
    changed = np.flatnonzero(changes > 1e-7)
    assert set(range(20, 25)) <= set(changed)
    assert changed.min() >= 20 - layer.reach and changed.max() < 25 + layer.reach
    alike = layer(np.ones((1, 9, 3), np.float32)).numpy()[0, 20:25]
    assert np.ptp(alike, axis=0).max() > 1e-3


def test_levels_are_drawn_from_the_top_down():
    levels = TwoLevels(latent_dim=4, hidden_width=6, top_dim=2, top_width=8, top_stride=2)
    hidden, asked = noise(2, 6, 6), []

    def draw(level, posterior):
        asked.append(level)
        return posterior.loc + 1.0

    inference = levels.infer(hidden, draw=draw)
    assert asked == ["top", "bottom"]
    np.testing.assert_allclose(inference.latents.bottom, inference.bottom.posterior.loc + 1.0, rtol=1e-6)
    again = levels.infer(hidden, top=inference.latents.top)
    np.testing.assert_allclose(again.bottom.prior_mean, inference.bottom.prior_mean)
    np.testing.assert_allclose(again.context, levels.context(inference.top.loc + 1.0))


def encoder_of(width):
    """A fixed linear encoder that gives means and deviations of its own for each pseudo-input."""
    weights = tf.constant(noise(width, 2 * width, seed=7))

    def infer(hidden):
        mean, log_deviation = tf.split(tf.reduce_mean(hidden, axis=1, keepdims=True) @ weights, 2, axis=-1)
        return Normal(mean, tf.exp(0.3 * log_deviation))

    return infer


def test_a_mixture_of_one_component_has_the_closed_form_on_average():
    prior, infer = VampPrior(1, frames=2, width=3), encoder_of(3)
    posterior = Normal(tf.constant(noise(1, 1, 3)) * tf.ones([20_000, 1, 1]), 0.5)
    estimate = tf.reduce_mean(prior.kl(posterior, tf.constant([0, 1]), infer), axis=[0, 1])
    component = Normal(*(part[0] for part in (prior.mixture(infer).loc, prior.mixture(infer).scale)))
    expected = tfp.distributions.kl_divergence(Normal(posterior.loc[0, 0], 0.5), component)
    np.testing.assert_allclose(estimate, expected, rtol=0.03, atol=0.03)


def test_the_kl_of_a_mixture_is_split_over_dimensions_without_rest():
    prior, infer = VampPrior(5, frames=2, width=3), encoder_of(3)
    posterior, seed = Normal(tf.constant(noise(4, 6, 3)), tf.constant(np.exp(noise(4, 6, 3, seed=1)))), [0, 1]
    drawn = posterior.loc + posterior.scale * tf.random.stateless_normal([4, 6, 3], seed)
    components = prior.mixture(infer)
    mixture = tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=tf.zeros(5)),
        tfp.distributions.Independent(components, 1),
    )
    expected = tf.reduce_sum(posterior.log_prob(drawn), -1) - mixture.log_prob(drawn)
    kl = prior.kl(posterior, tf.constant(seed), infer)
    np.testing.assert_allclose(tf.reduce_sum(kl, -1), expected, rtol=1e-3, atol=1e-3)


def test_draws_of_a_mixture_have_its_moments_and_seed():
    prior, infer = VampPrior(4, frames=2, width=2), encoder_of(2)
    drawn = prior.sample([2000, 10, 2], seed=3, temperature=1.0, infer=infer).numpy()
    components = prior.mixture(infer)
    mean = np.mean(components.loc, axis=0)
    variance = np.mean(components.scale**2 + components.loc**2, axis=0) - mean**2
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), mean, atol=0.05)
    np.testing.assert_allclose(drawn.var(axis=(0, 1)), variance, rtol=0.05)
    np.testing.assert_array_equal(drawn, prior.sample([2000, 10, 2], 3, 1.0, infer))
    cold = prior.sample([50, 3, 2], seed=3, temperature=0.0, infer=infer).numpy().reshape(-1, 1, 2)
    assert np.abs(cold - np.asarray(components.loc)).max(axis=-1).min(axis=-1).max() < 1e-5


def test_the_standard_prior_is_standard():
    drawn = StandardPrior().sample([2000, 10, 2], seed=3, temperature=0.5, infer=None).numpy()
    np.testing.assert_allclose(drawn.std(axis=(0, 1)), 0.5, rtol=0.02)
    assert not np.array_equal(drawn, StandardPrior().sample([2000, 10, 2], seed=4, temperature=0.5, infer=None))


def test_an_unknown_prior_is_refused():
    with pytest.raises(ValueError, match="top_prior must be one of normal, vamp, not 'flow'"):
        TwoLevels(latent_dim=4, top_prior="flow")
