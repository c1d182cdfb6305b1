import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers.quantizers.estimators import ESTIMATORS, rotation, straight_through

RNG = np.random.default_rng(2)
ENCODINGS, CODES, WEIGHTS = (RNG.normal(size=[7, 5]).astype(np.float32) for _ in range(3))


def gradient_of(estimator, encodings, codes, weights):
    encodings, codes = tf.constant(encodings), tf.constant(codes)
    with tf.GradientTape() as tape:
        tape.watch([encodings, codes])
        outputs = estimator(encodings, codes)
        total = tf.reduce_sum(outputs * weights)
    gradient, of_codes = tape.gradient(total, [encodings, codes])
    assert of_codes is None, "the codes are learnt by their own loss"
    return outputs.numpy(), gradient.numpy()


def rotation_matrix(encoding, code):
    """The linear map of the paper, in numpy: |q| / |e| (I - 2 w w' + 2 q^ e^')."""
    e, q = encoding / np.linalg.norm(encoding), code / np.linalg.norm(code)
    w = (e + q) / np.linalg.norm(e + q)
    turn = np.eye(len(e)) - 2.0 * np.outer(w, w) + 2.0 * np.outer(q, e)
    return np.linalg.norm(code) / np.linalg.norm(encoding) * turn


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_values_are_the_codes_bit_for_bit(estimator):
    outputs, _ = gradient_of(estimator, 1e3 * ENCODINGS, CODES, WEIGHTS)
    np.testing.assert_array_equal(outputs, CODES)


def test_straight_through_passes_the_gradient_unchanged():
    _, gradient = gradient_of(straight_through, ENCODINGS, CODES, WEIGHTS)
    np.testing.assert_array_equal(gradient, WEIGHTS)


def test_rotation_turns_the_gradient_by_the_map_that_takes_encodings_to_codes():
    _, gradient = gradient_of(rotation, ENCODINGS, CODES, WEIGHTS)
    for encoding, code, weight, row in zip(ENCODINGS, CODES, WEIGHTS, gradient, strict=True):
        matrix = rotation_matrix(encoding, code)
        np.testing.assert_allclose(matrix @ encoding, code, atol=1e-5)
        np.testing.assert_allclose(row, matrix.T @ weight, atol=1e-5)


def test_rotation_keeps_the_angle_between_gradient_and_code():
    _, gradient = gradient_of(rotation, ENCODINGS, CODES, WEIGHTS)

    def cosine(a, b):
        return np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    np.testing.assert_allclose(cosine(gradient, ENCODINGS), cosine(WEIGHTS, CODES), atol=1e-5)


@pytest.mark.parametrize(
    ("encoding", "code"),
    [([0.0, 0.0], [1.0, 0.0]), ([1.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [0.0, 0.0]), ([1e-4, 0.0], [1.0, 0.0])],
)
def test_where_no_rotation_is_defined_the_gradient_goes_straight(encoding, code):
    weights = np.array([[3.0, -2.0]], np.float32)
    _, gradient = gradient_of(rotation, np.array([encoding], np.float32), np.array([code], np.float32), weights)
    np.testing.assert_array_equal(gradient, weights)


def test_opposite_vectors_have_a_finite_gradient_of_the_right_length():
    encoding = np.array([[2.0, 0.0, 0.0]], np.float32)
    outputs, gradient = gradient_of(rotation, encoding, -0.5 * encoding, np.array([[0.0, 1.0, 0.0]], np.float32))
    np.testing.assert_array_equal(outputs, -0.5 * encoding)
    assert np.linalg.norm(gradient) == pytest.approx(0.5, rel=1e-5)
