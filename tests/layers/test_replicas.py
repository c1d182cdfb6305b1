import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers.replicas import global_noise, num_replicas, replica_mean


def on_each(strategy, function):
    parts = strategy.run(tf.function(function, autograph=False))
    return [part.numpy() for part in strategy.experimental_local_results(parts)]


def test_rows_of_two_replicas_are_the_rows_of_one(two_replicas):
    seed = tf.constant([3, 7])
    parts = on_each(two_replicas, lambda: global_noise([4, 5, 2], seed))
    np.testing.assert_array_equal(np.concatenate(parts), global_noise([8, 5, 2], seed))


def test_rows_may_be_known_only_at_run_time(two_replicas):
    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def like(values):
        return global_noise(tf.shape(values), tf.constant([0, 1]))

    parts = two_replicas.experimental_local_results(two_replicas.run(like, args=(tf.zeros([2, 3]),)))
    np.testing.assert_array_equal(tf.concat(parts, 0), like(tf.zeros([4, 3])))


def test_noise_is_standard_normal_and_changes_with_the_seed():
    first, second = (global_noise([100, 100], tf.constant([0, step])).numpy() for step in (1, 2))
    assert abs(first.mean()) < 0.05 and first.std() == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_replica_mean_is_the_mean_on_every_replica(two_replicas):
    def own():
        mine = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        return tf.stack(list(replica_mean({"a": mine, "b": 10.0 + 2.0 * mine}).values()))

    for part in on_each(two_replicas, own):
        np.testing.assert_array_equal(part, [0.5, 11.0])


def test_replicas_are_counted(two_replicas):
    assert num_replicas() == 1
    with two_replicas.scope():
        assert num_replicas() == 2
    assert on_each(two_replicas, lambda: tf.constant(num_replicas())) == [2, 2]


def test_alone_a_mean_is_the_value_itself():
    value = tf.constant([1.0, 2.0])
    assert replica_mean(value) is value
