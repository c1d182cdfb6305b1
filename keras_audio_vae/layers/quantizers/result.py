"""What a quantizer returns."""

from typing import NamedTuple

import tensorflow as tf


class Quantized(NamedTuple):
    """Codes, what they stand for, and what training wants to know of them.

    Attributes:
        vectors: float32 [batch, frames, dim], what the codes stand for. Its gradient goes to the inputs as if they had
            been passed on (`VectorQuantizer`'s `gradient`).
        codes: int32 [batch, frames, codebooks].
        losses: Scalars by name, already weighted. In training they also stand in the layer's own `losses`, which Keras'
            `fit` adds to a model's loss; a training step of one's own adds either these or those. Each is a mean over
            the tokens that count in the global batch: a mean over the replicas gives it exactly. (Under several
            replicas, which share a layer's `losses`, the loss that `fit` prints is larger; the gradients are right.)
        measures: float32 [codebooks] by name, of the global batch, the same on every replica; no gradient.

    Example:
        >>> from keras_audio_vae.layers import VectorQuantizer
        >>> quantized = VectorQuantizer(codebook_size=16, dim=8)(tf.ones([2, 35, 8]))
        >>> quantized.vectors.shape, quantized.codes.shape
        (TensorShape([2, 35, 8]), TensorShape([2, 35, 1]))
        >>> list(quantized.losses)
        ['commitment']
    """

    vectors: tf.Tensor
    codes: tf.Tensor
    losses: dict[str, tf.Tensor]
    measures: dict[str, tf.Tensor]
