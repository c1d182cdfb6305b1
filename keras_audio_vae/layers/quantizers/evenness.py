"""A loss that spreads the use of codes."""

import tensorflow as tf

from keras_audio_vae.layers.quantizers.tokens import Tokens


def unevenness(rows: tf.Tensor, codebook: tf.Tensor, tokens: Tokens, temperature: tf.Tensor) -> tf.Tensor:
    """E[H(p | z)] - H(E[p]) of the soft assignment p(k | z) = softmax(-|z - c_k|^2 / temperature), in nats.

    Small when each token is sure of its code and all codes are used alike: between -ln(codes) and 0. The mean
    assignment E[p] is that of the global batch, so that the number of replicas changes nothing.

    Cost: a matrix product as for the nearest code. Memory: [tokens, codes] float32, which the gradient needs.

    Args:
        rows: float32 [tokens, dim], whose gradient is wanted.
        codebook: float32 [codes, dim].
        tokens: The same tokens, with what counts.
        temperature: float32 scalar, a squared distance; no gradient. With the mean squared error a token is about as
            unsure of its code as the codes are coarse, whatever their scale.

    Returns:
        float32 scalar; the mean over the replicas is that of the global batch.

    Example:
        >>> from keras_audio_vae.layers.quantizers.tokens import as_tokens
        >>> rows, codebook = tf.constant([[0.0], [1.0]]), tf.constant([[0.0], [1.0]])
        >>> tokens = as_tokens(rows[tf.newaxis], tf.ones([1, 2]))
        >>> round(float(unevenness(rows, codebook, tokens, tf.constant(0.01))), 4)  # two codes, used alike: -ln 2
        -0.6931

    Reference:
        Yu et al.: Language Model Beats Diffusion: Tokenizer is Key to Visual Generation, ICLR 2024.
    """
    centre = tf.stop_gradient(tf.reduce_mean(codebook, axis=0))
    rows, codebook = rows - centre, codebook - centre
    closeness = 2.0 * tf.matmul(rows, codebook, transpose_b=True) - tf.reduce_sum(tf.square(codebook), axis=-1)
    logits = closeness / tf.stop_gradient(temperature)
    chances = tf.nn.softmax(logits)
    entropies = -tf.reduce_sum(chances * tf.nn.log_softmax(logits), axis=-1)
    [mean] = tokens.means([chances])
    return tokens.own_mean(entropies) + tf.reduce_sum(tf.math.xlogy(mean, mean))
