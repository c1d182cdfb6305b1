import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.layers.quantizers import nearest
from keras_audio_vae.layers.quantizers.nearest import map_blocks, nearest_codes


def nearest_in_numpy(tokens, codebook):
    distances = np.sum((tokens[:, None].astype(np.float64) - codebook[None]) ** 2, axis=-1)
    return distances.argmin(axis=1), distances


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(1, 12), st.integers(1, 5), st.sampled_from([0.0, 1000.0]), st.integers(0, 99))
def test_codes_are_those_of_a_search_in_numpy(count, codes, dim, offset, seed):
    rng = np.random.default_rng(seed)
    tokens = (offset + rng.normal(size=[count, dim])).astype(np.float32)
    codebook = (offset + rng.normal(size=[codes, dim])).astype(np.float32)
    found = nearest_codes(tf.constant(tokens), tf.constant(codebook)).numpy()
    _, distances = nearest_in_numpy(tokens, codebook)
    assert found.dtype == np.int32 and found.shape == (count,)
    # A tie up to float32 may go either way, even far from the origin, where squares have four digits less.
    np.testing.assert_allclose(distances[np.arange(count), found], distances.min(axis=1, initial=np.inf), atol=1e-3)


@pytest.mark.parametrize("count", [512, 513, 1500])
def test_blocks_leave_no_token_out(count):
    rng = np.random.default_rng(1)
    tokens, codebook = rng.normal(size=[count, 3]).astype(np.float32), rng.normal(size=[9, 3]).astype(np.float32)
    np.testing.assert_array_equal(nearest_codes(tokens, codebook), nearest_in_numpy(tokens, codebook)[0])


def test_no_block_is_larger_than_said(monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK_TOKENS", 4)
    seen = []

    def function(block):
        seen.append(block.shape[0])
        return 2.0 * block

    doubled = map_blocks(function, tf.range(20.0)[:, tf.newaxis][:18], tf.TensorSpec([None, 1], tf.float32))
    np.testing.assert_array_equal(doubled[:, 0], 2.0 * np.arange(18.0))
    assert set(seen) <= {4, None} and len(seen) <= 5


def test_the_first_of_equal_codes_is_taken():
    assert nearest_codes(tf.ones([3, 2]), tf.ones([4, 2])).numpy().tolist() == [0, 0, 0]
