import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.datasets import order

seeds = st.integers(-(2**40), 2**40)


def step(number):
    return tf.constant(number, tf.int64)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 5), seeds)
def test_an_epoch_holds_each_chunk_at_most_once(num_chunks, batch_size, epoch, seed):
    steps = max(1, num_chunks // batch_size)
    batches = [
        order.chunks_of_step(step(epoch * steps + number), batch_size, num_chunks, seed).numpy()
        for number in range(steps)
    ]
    counts = np.bincount(np.concatenate(batches), minlength=num_chunks)
    assert len(counts) == num_chunks and counts.sum() == steps * batch_size
    # Once at most; where a batch has more rows than there are chunks, as evenly as that goes.
    assert counts.max() - counts.min() <= 1


def test_epochs_and_seeds_differ():
    orders = [
        tuple(order.chunks_of_step(step(epoch), 100, 100, seed).numpy()) for epoch in range(5) for seed in range(5)
    ]
    assert len(set(orders)) == 25


def test_each_chunk_comes_everywhere():
    """The mean place of each chunk over many epochs is the middle: no chunk is always early."""
    places = np.array([order.chunks_of_step(step(epoch), 20, 20, 3).numpy() for epoch in range(400)])
    mean = np.array([np.argwhere(places == chunk)[:, 1].mean() for chunk in range(20)])
    assert np.abs(mean - 9.5).max() < 5 * np.sqrt(400 / 12 / 400)


def test_offsets_and_gains_keep_to_their_range_and_use_it():
    offsets = np.concatenate([order.random_offsets(step(n), 64, 7, 0).numpy() for n in range(20)])
    assert set(offsets) == {-3, -2, -1, 0, 1, 2, 3}
    gains = np.concatenate([order.random_gains(step(n), 64, 6.0, 0).numpy() for n in range(20)])
    decibels = 20 * np.log10(gains)
    assert decibels.min() < -5.5 and decibels.max() > 5.5 and np.abs(decibels).max() <= 6.001
    assert len(np.unique(gains)) > 1200


def test_gains_and_offsets_are_independent():
    offsets = np.concatenate([order.random_offsets(step(n), 64, 1001, 0).numpy() for n in range(20)])
    gains = np.concatenate([order.random_gains(step(n), 64, 6.0, 0).numpy() for n in range(20)])
    assert abs(np.corrcoef(offsets, np.log(gains))[0, 1]) < 0.1
