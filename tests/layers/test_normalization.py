import numpy as np
import tensorflow as tf

from keras_audio_vae.layers.normalization import FrameNormalization


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sounding(*lengths, frames=35):
    return (np.arange(frames) < np.array(lengths)[:, None]).astype(np.float32)


def test_one_deviation_for_all_channels_keeps_their_proportions():
    deviations = np.array([0.1, 1.0, 10.0], np.float32)
    inputs, mask = 4.0 + deviations * noise(3, 35, 3), sounding(35, 20, 3)
    heard = FrameNormalization(per_channel=False)(inputs, mask, training=True).numpy()[mask > 0]
    values = inputs[mask > 0]
    expected = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0).mean())
    np.testing.assert_allclose(heard, expected, rtol=1e-4, atol=1e-5)


def test_padding_that_is_not_a_number_does_not_spoil_what_counts():
    mask = sounding(35, 20)
    inputs = np.where(mask[..., None] > 0, noise(2, 35, 4), np.nan)
    assert np.isfinite(FrameNormalization()(inputs, mask, training=True).numpy()[mask > 0]).all()


def test_outside_training_the_statistics_are_those_of_the_latest_batches():
    layer = FrameNormalization(per_channel=False)
    inputs = 2.0 + 3.0 * noise(4, 35, 6)
    trained = layer(inputs, training=True)
    np.testing.assert_allclose(layer(inputs), trained, rtol=1e-4, atol=1e-5)


def test_padding_alone_moves_no_average():
    layer = FrameNormalization()
    layer(noise(2, 35, 4), sounding(35, 9), training=True)
    before = [weight.numpy() for weight in layer.weights]
    assert np.isfinite(layer(np.ones((2, 35, 4), np.float32), sounding(0, 0), training=True)).all()
    for value, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(value, weight)


def test_two_replicas_normalise_by_the_frames_of_both(two_replicas):
    values, masks = 3.0 + noise(4, 35, 6), sounding(35, 4, 0, 1)  # the second replica has next to nothing

    def train(layer, inputs, mask):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, mask, training=True)
            loss = tf.reduce_sum(tf.math.sin(outputs) * mask[..., None])
        return outputs, tape.gradient(loss, inputs)

    alone = FrameNormalization()
    expected = train(alone, tf.constant(values), tf.constant(masks))
    with two_replicas.scope():
        shared = FrameNormalization()
        shared.build((None, None, 6))

    @tf.function(autograph=False)
    def step():
        def on_replica():
            first = 2 * tf.distribute.get_replica_context().replica_id_in_sync_group
            return train(shared, tf.constant(values)[first : first + 2], tf.constant(masks)[first : first + 2])

        return two_replicas.run(on_replica)

    for one, two in zip(expected, step(), strict=True):
        together = np.concatenate(two_replicas.experimental_local_results(two))
        np.testing.assert_allclose(together, one, rtol=1e-4, atol=1e-5)
    for one, two in zip(alone.weights, shared.weights, strict=True):
        np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=1e-5, atol=1e-6)
