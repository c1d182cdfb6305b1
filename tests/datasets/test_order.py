from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_audio_vae.datasets.order import MOST_LANES, Order

seeds = st.integers(-(2**40), 2**40)


def batches(order, steps):
    """Chunks and blocks of some steps, each int64 [steps, batch_size]."""
    return tuple(part.numpy() for part in order.chunks(tf.constant(list(steps), tf.int64)))


def epoch(order, number):
    return batches(order, range(number * order.steps_per_epoch, (number + 1) * order.steps_per_epoch))


@pytest.mark.usefixtures("large_blocks")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 150), st.integers(1, 8), st.integers(0, 5), seeds)
def test_an_epoch_holds_each_chunk_at_most_once(num_chunks, batch_size, number, seed):
    order = Order(num_chunks, batch_size, seed)
    chunks, _ = epoch(order, number)
    counts = np.bincount(chunks.ravel(), minlength=num_chunks)
    assert len(counts) == num_chunks and counts.sum() == order.steps_per_epoch * batch_size
    if num_chunks >= batch_size:
        assert counts.max() == 1
        left_over = num_chunks - counts.sum()
        assert left_over < batch_size + order.chunks_per_block * (1 + order.blocks // order.lanes)


def test_a_batch_with_more_rows_than_chunks_repeats_them_evenly():
    chunks, _ = epoch(Order(7, batch_size=64), 0)
    counts = np.bincount(chunks.ravel(), minlength=7)
    assert counts.max() - counts.min() <= 1


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch(Order(100, 100, seed), number)[0][0]) for number in range(5) for seed in range(5)}
    assert len(orders) == 25


@pytest.mark.usefixtures("large_blocks")
def test_each_chunk_comes_everywhere_and_is_left_out_by_chance():
    """The mean place of each chunk over many epochs is the middle: no chunk is always early, or always left over."""
    order = Order(150, 10)
    places = batches(order, range(200 * order.steps_per_epoch))[0].reshape(200, -1)
    assert order.chunks_per_block == 2
    place = np.tile(np.arange(places.shape[1]), 200)
    means = np.bincount(places.ravel(), weights=place) / np.bincount(places.ravel())
    assert len(means) == 150
    middle, spread = place.mean(), places.shape[1] / np.sqrt(12 * 200)
    assert np.abs(means - middle).max() < 5 * spread


@pytest.mark.usefixtures("large_blocks")
@pytest.mark.parametrize("num_chunks", [600, 30_000])
def test_few_blocks_are_new_in_each_batch_and_few_are_kept(num_chunks):
    """What makes reading from disk cheap: a cache as large as the lanes reads each block about once an epoch."""
    order = Order(num_chunks, batch_size=16)
    _, blocks = batches(order, range(100, 400) if num_chunks > 10_000 else range(37 * 3, 37 * 4))
    kept, misses = OrderedDict(), []
    for row in blocks:
        missed = 0
        for block in row:
            missed += block not in kept
            kept[block] = True
            kept.move_to_end(block)
            while len(kept) > order.lanes * 5 // 4 + 16:
                kept.popitem(last=False)
        misses.append(missed)
    steady = misses[len(misses) // 3 :]
    lasts = {600: 9, 30_000: 16}[num_chunks]
    assert order.lanes <= MOST_LANES and order.chunks_per_block == lasts
    assert np.mean(steady) <= 16 / lasts + 0.3 and max(steady) <= 8, "16 rows, and each block lasts for so many"
    assert np.mean([len(set(row)) for row in blocks]) > 15.5, "the rows of a batch come from different places"


@pytest.mark.usefixtures("large_blocks")
def test_chunks_lie_in_their_blocks():
    order = Order(550, batch_size=16, seed=4)
    chunks, blocks = epoch(order, 1)
    distance = (chunks - blocks % order.num_chunks) % order.num_chunks
    assert order.chunks_per_block == 8 and set(distance.ravel()) == set(range(8))
    assert set((blocks // order.num_chunks).ravel()) == {1}


@pytest.mark.usefixtures("large_blocks")
def test_a_step_is_the_same_alone_and_among_others():
    order = Order(1000, batch_size=16, seed=4)
    together = batches(order, range(50, 70))
    for number in (0, 13):
        for alone, part in zip(batches(order, [50 + number]), together, strict=True):
            np.testing.assert_array_equal(alone[0], part[number])


def test_a_small_corpus_is_drawn_chunk_by_chunk():
    sizes = [Order(number, 16, most_per_block=23).chunks_per_block for number in (10, 4_000, 5_000, 8_000, 40_000)]
    assert sizes == [1, 1, 9, 15, 23]
