import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.losses.masking import frame_mask, masked_mean


@pytest.mark.parametrize("hop", [1, 3, 4, 9, 20])
def test_a_frame_counts_if_any_of_its_own_samples_does(hop):
    mask = np.array([[1] * 9, [0] * 9, [1] * 4 + [0] * 5, [0, 0, 0, 1] + [0] * 5], np.float32)
    expected = [[float(row[start : start + hop].any()) for start in range(0, 9, hop)] for row in mask]
    np.testing.assert_array_equal(frame_mask(tf.constant(mask), hop), expected)


def test_mean_over_what_the_mask_keeps():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 2, 4)).astype(np.float32)
    mask = np.array([[1] * 5, [1, 0, 1, 0, 0], [0] * 5], np.float32)
    expected = [values[0].mean(), values[1, [0, 2]].mean(), 0.0]
    np.testing.assert_allclose(masked_mean(tf.constant(values), tf.constant(mask)), expected, rtol=1e-5)
