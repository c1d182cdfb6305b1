"""What all models of Gaussian latents do with them: draw, charge, and count what is in use."""

import tensorflow as tf

from keras_audio_vae.layers.replicas import global_noise, own_rows, replica_mean
from keras_audio_vae.metrics.latents import ACTIVE_VARIANCE


def noise_in_training(shape: tf.Tensor, seed: tf.Tensor, chance: tf.Tensor, mean_share: float) -> tf.Tensor:
    """Standard normal noise, and none for the share of the examples that are decoded from the mean.

    Args:
        shape: int32 [3]: rows of this replica, frames, dimensions.
        seed: int32 [2], of the noise.
        chance: int32 [2], the seed of which examples have none.
        mean_share: Share of the examples without noise.

    Returns:
        float32 of that shape; an example's noise does not depend on the number of replicas.

    Example:
        >>> noise = noise_in_training(tf.constant([8, 3, 2]), tf.constant([0, 1]), tf.constant([0, 2]), mean_share=1.0)
        >>> bool(tf.reduce_any(noise != 0.0))
        False
    """
    noise = global_noise(shape, seed)
    if not mean_share:
        return noise

    def draw(rows: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform([rows, 1, 1], chance)

    return tf.where(own_rows(draw, shape[0]) < mean_share, 0.0, noise)


def mean_kl(kl: tf.Tensor, sounding: tf.Tensor) -> tf.Tensor:
    """What an average frame with sound costs, dimension by dimension: each example counts alike.

    Args:
        kl: float32 [batch, frames, dim], nats.
        sounding: float32 [batch, frames], 1 for a frame with sound, 0 for padding.

    Returns:
        float32 [dim], the mean over the examples that hold sound.

    Example:
        >>> mean_kl(tf.constant([[[1.0], [9.0]], [[3.0], [5.0]]]), tf.constant([[1.0, 0.0], [1.0, 1.0]])).numpy()
        array([2.5], dtype=float32)
    """
    per_example = tf.math.divide_no_nan(
        tf.einsum("btd,bt->bd", kl, sounding), tf.reduce_sum(sounding, axis=1, keepdims=True)
    )
    present = tf.reduce_max(sounding, axis=1)
    return tf.math.divide_no_nan(tf.einsum("bd,b->d", per_example, present), tf.reduce_sum(present))


def active_share(means: tf.Tensor, sounding: tf.Tensor) -> tf.Tensor:
    """Share of the dimensions whose mean varies over the frames of the global batch that hold sound.

    Args:
        means: float32 [batch, frames, dim], of the posterior, on the scale of a prior of deviation 1.
        sounding: float32 [batch, frames], 1 for a frame with sound, 0 for padding.

    Returns:
        float32 scalar, 0 to 1.

    Example:
        >>> float(active_share(tf.constant([[[0.0, 1.0], [1.0, 1.0]]]), tf.ones([1, 2])))
        0.5
    """
    kept = sounding[:, :, tf.newaxis]
    moments = [tf.reduce_sum(kept * power, axis=[0, 1]) for power in (tf.ones_like(means), means, tf.square(means))]
    count, total, squares = replica_mean(moments)
    variance = tf.math.divide_no_nan(squares, count) - tf.square(tf.math.divide_no_nan(total, count))
    return tf.reduce_mean(tf.cast(variance > ACTIVE_VARIANCE, tf.float32))
