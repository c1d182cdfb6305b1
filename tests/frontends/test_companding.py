import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.frontends.companding import compress, expand


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e4, 1e4, width=32))
def test_expand_undoes_compress(value):
    np.testing.assert_allclose(expand(compress(tf.constant(value))), value, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(compress(expand(tf.constant(value))), value, rtol=1e-4, atol=1e-7)


def test_it_is_odd_monotone_and_a_square_root_for_large_values():
    values = np.linspace(-9, 9, 1001).astype(np.float32)
    compressed = compress(tf.constant(values)).numpy()
    np.testing.assert_allclose(compressed, -compressed[::-1], atol=1e-6)
    assert (np.diff(compressed) > 0).all()
    np.testing.assert_allclose(compress(tf.constant([1e4])), [1e2], rtol=1e-4)


def test_gradients_are_finite_everywhere():
    values = tf.constant([-1e4, -1e-9, 0.0, 1e-9, 1.0, 1e4])
    for function in (compress, expand):
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = tf.reduce_sum(function(values))
        gradient = tape.gradient(total, values).numpy()
        assert np.isfinite(gradient).all() and (gradient > 0).all()
