"""Which codes have been used lately."""

import math

import keras
import tensorflow as tf

DECAY = 0.99  # a hundred steps: enough tokens to tell a rare code from an unused one


@keras.saving.register_keras_serializable("keras_audio_vae")
class Usage(keras.layers.Layer):
    """Running histogram of the codes of one codebook: a sum of counts that forgets 1 % at every step.

    A single batch has too few tokens to tell how evenly a codebook is used: its perplexity is at most its number of
    tokens.

    Args:
        size: Codes.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> usage = Usage(size=4)
        >>> usage.update(tf.constant([5.0, 5.0, 0.0, 0.0]))
        >>> float(usage.share_used()), float(usage.perplexity())
        (0.5, 2.0)
    """

    def __init__(self, size: int, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size = size
        self.histogram = self.add_weight(
            name="histogram", shape=(size,), initializer="zeros", trainable=False, aggregation="only_first_replica"
        )
        self.built = True

    def update(self, counts: tf.Tensor) -> None:
        """Adds the counts of a batch, float32 [size], the same on every replica; one of zeros changes nothing."""
        histogram = tf.convert_to_tensor(self.histogram)
        self.histogram.assign(tf.where(tf.reduce_sum(counts) > 0.0, DECAY * histogram + counts, histogram))

    def share_used(self) -> tf.Tensor:
        """Share of the codes that were chosen within the last hundred steps or so: float32 scalar."""
        return tf.reduce_mean(tf.cast(tf.convert_to_tensor(self.histogram) >= math.exp(-1.0), tf.float32))

    def perplexity(self) -> tf.Tensor:
        """The exponential of the entropy: `size` if all codes are used alike, 1 if one is, 0 before the first batch."""
        histogram = tf.convert_to_tensor(self.histogram)
        total = tf.reduce_sum(histogram)
        shares = tf.math.divide_no_nan(histogram, total)
        return tf.where(total > 0.0, tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares))), 0.0)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "size": self.size}
