"""The nearest code of every token, in a memory that does not grow with the tokens."""

import tensorflow as tf

BLOCK_TOKENS = 512
"""Tokens whose distances are held at a time: with 1,024 codes 2 MiB, which stays in a processor's cache."""


def nearest_codes(tokens: tf.Tensor, codebook: tf.Tensor, handicaps: tf.Tensor | None = None) -> tf.Tensor:
    """The code at the smallest Euclidean distance from each token; the first of several.

    |z - c|^2 = |z|^2 - 2 z.c + |c|^2, of which only the last two terms choose the code: one matrix product per block of
    tokens, never [tokens, codes, dim]. Both sides are moved to the codebook's mean first, so that vectors far from the
    origin lose no digits of float32.

    Cost: 2 * tokens * codes * dim floating-point operations. Memory: [BLOCK_TOKENS, codes] float32 beside the tokens.

    Args:
        tokens: float32 [tokens, dim].
        codebook: float32 [codes, dim].
        handicaps: float32 [codes] or None, added to each code's squared distances.

    Returns:
        int32 [tokens]; no gradient.

    Example:
        >>> nearest_codes(tf.constant([[0.1], [0.9], [5.0]]), tf.constant([[0.0], [1.0]])).numpy()
        array([0, 1, 1], dtype=int32)
    """
    codebook = tf.stop_gradient(codebook)
    centre = tf.reduce_mean(codebook, axis=0)
    centred = codebook - centre
    half_norms = 0.5 * tf.reduce_sum(tf.square(centred), axis=-1)
    if handicaps is not None:
        half_norms += 0.5 * handicaps

    def of_block(block: tf.Tensor) -> tf.Tensor:
        closeness = tf.matmul(block - centre, centred, transpose_b=True) - half_norms
        return tf.argmax(closeness, axis=-1, output_type=tf.int32)

    return map_blocks(of_block, tf.stop_gradient(tokens), tf.TensorSpec([None], tf.int32))


def map_blocks(function, tokens: tf.Tensor, signature: tf.TensorSpec) -> tf.Tensor:
    """Applies a function of [tokens, dim] block by block, one block in memory at a time.

    Args:
        function: Takes float32 [block, dim], returns a tensor of as many rows.
        tokens: float32 [tokens, dim]; the last block is filled up with zeros.
        signature: Shape and type of what the function returns.

    Returns:
        The rows of all blocks, [tokens, ...].

    Example:
        >>> map_blocks(tf.square, tf.ones([3, 2]), tf.TensorSpec([None, 2], tf.float32)).shape
        TensorShape([3, 2])
    """
    count, dim = tf.shape(tokens)[0], tokens.shape[-1]
    block = tf.clip_by_value(count, 1, BLOCK_TOKENS)
    blocks = tf.maximum(-(-count // block), 1)
    padded = tf.pad(tokens, [[0, blocks * block - count], [0, 0]])
    results = tf.map_fn(
        function, tf.reshape(padded, [blocks, block, dim]), fn_output_signature=signature, parallel_iterations=1
    )
    return tf.reshape(results, tf.concat([[blocks * block], tf.shape(results)[2:]], 0))[:count]
