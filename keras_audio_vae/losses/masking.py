"""Means that leave padding out."""

import tensorflow as tf

from keras_audio_vae.frontends.signal import length_of, num_frames


def frame_mask(mask: tf.Tensor, hop: int) -> tf.Tensor:
    """Which frames hold sound: 1 where any of a frame's own samples [t hop, (t + 1) hop) is no padding.

    Args:
        mask: float32 [batch, samples], 1 for sound, 0 for padding.
        hop: Samples per frame.

    Returns:
        float32 [batch, ceil(samples / hop)].

    Example:
        >>> frame_mask(tf.constant([[1.0, 1.0, 1.0, 0.0, 0.0]]), hop=2).numpy()
        array([[1., 1., 0.]], dtype=float32)
    """
    samples = length_of(mask, 1)
    frames = num_frames(samples, hop)
    padded = tf.pad(mask, [[0, 0], [0, frames * hop - samples]])
    return tf.reduce_max(tf.reshape(padded, [-1, frames, hop]), axis=-1)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of each row over what its mask keeps; 0 for a row that is all padding.

    Args:
        values: float32 [batch, frames, ...].
        mask: float32 [batch, frames].

    Returns:
        float32 [batch].

    Example:
        >>> masked_mean(tf.constant([[[1.0], [3.0], [9.0]]]), tf.constant([[1.0, 1.0, 0.0]])).numpy()
        array([2.], dtype=float32)
    """
    per_frame = tf.reduce_mean(tf.reshape(values, [tf.shape(values)[0], tf.shape(values)[1], -1]), axis=-1)
    return tf.math.divide_no_nan(tf.reduce_sum(per_frame * mask, axis=1), tf.reduce_sum(mask, axis=1))


def mean_present(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Mean over the rows of a batch that hold sound at all; 0 where none does.

    Args:
        values: float32 [batch].
        present: float32 [batch], 1 for a row with sound, 0 for a row of padding.

    Returns:
        float32 scalar.

    Example:
        >>> float(mean_present(tf.constant([1.0, 3.0, 9.0]), tf.constant([1.0, 1.0, 0.0])))
        2.0
    """
    return tf.math.divide_no_nan(tf.reduce_sum(values * present), tf.reduce_sum(present))
