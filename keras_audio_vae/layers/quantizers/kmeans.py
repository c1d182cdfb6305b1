"""Where codes begin: the centres of the first tokens."""

import tensorflow as tf

from keras_audio_vae.layers.quantizers.nearest import nearest_codes

LLOYD_ITERATIONS = 10


def kmeans(tokens: tf.Tensor, size: int, seed: tf.Tensor, normalize: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Centres of clusters of tokens: k-means++ for the start, then ten of Lloyd's iterations.

    Cost: of the start 2 * tokens * size * dim operations in `size` steps, and as many again for each iteration.

    Args:
        tokens: float32 [tokens, dim], more than `size` of them.
        size: How many centres.
        seed: int32 [2]; the same seed gives the same centres.
        normalize: Whether centres have length 1, as the tokens then have (spherical k-means).

    Returns:
        Centres, float32 [size, dim], and the share of the tokens of each cluster, float32 [size].

    Example:
        >>> tokens = tf.constant([[0.0], [0.2], [9.0], [9.2], [5.0], [5.0]])
        >>> centres, shares = kmeans(tokens, 3, seed=tf.constant([0, 1]))
        >>> sorted(round(float(centre), 1) for centre in tf.squeeze(centres))
        [0.1, 5.0, 9.1]

    Reference:
        Arthur, Vassilvitskii: k-means++: The Advantages of Careful Seeding, SODA 2007.
    """

    def move(number: tf.Tensor, centres: tf.Tensor, _) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        counts, sums = count_and_sum(tokens, nearest_codes(tokens, centres), size)
        means = tf.where(counts[:, tf.newaxis] > 0.0, tf.math.divide_no_nan(sums, counts[:, tf.newaxis]), centres)
        return number + 1, tf.math.l2_normalize(means, axis=-1) if normalize else means, counts

    start = (tf.constant(0), _spread(tokens, size, seed), tf.zeros([size]))
    _, centres, counts = tf.while_loop(lambda number, *_: number < LLOYD_ITERATIONS, move, start)
    return centres, counts / tf.reduce_sum(counts)


def count_and_sum(
    tokens: tf.Tensor, codes: tf.Tensor, size: int, weights: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """How many tokens have each code, and their sum.

    Args:
        tokens: float32 [tokens, dim].
        codes: int32 [tokens].
        size: How many codes there are.
        weights: float32 [tokens] or None, how much each token counts.

    Returns:
        float32 [size] and float32 [size, dim].

    Example:
        >>> counts, sums = count_and_sum(tf.constant([[1.0], [2.0], [3.0]]), tf.constant([0, 1, 1]), 2)
        >>> counts.numpy(), sums.numpy().ravel()
        (array([1., 2.], dtype=float32), array([1., 5.], dtype=float32))
    """
    weights = tf.ones(tf.shape(codes)) if weights is None else weights
    sums = tf.math.unsorted_segment_sum(tokens * weights[:, tf.newaxis], codes, size)
    return tf.math.unsorted_segment_sum(weights, codes, size), sums


def _spread(tokens: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Tokens far from one another: each is drawn with a probability that grows as the squared distance to the rest."""

    def draw(number: tf.Tensor, distances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        uniform = tf.random.stateless_uniform(
            tf.shape(distances), tf.random.experimental.stateless_fold_in(seed, number), minval=1e-7
        )
        chosen = tokens[tf.argmax(tf.math.log(distances) - tf.math.log(-tf.math.log(uniform)))]  # Gumbel's trick
        return chosen, tf.minimum(distances, tf.reduce_sum(tf.square(tokens - chosen), axis=-1))

    def step(number: tf.Tensor, centres: tf.Tensor, distances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chosen, distances = draw(number, distances)
        return number + 1, tf.tensor_scatter_nd_update(centres, [[number]], [chosen]), distances

    start = (tf.constant(0), tf.zeros([size, tokens.shape[-1]]), tf.fill([tf.shape(tokens)[0]], tokens.dtype.max))
    _, centres, _ = tf.while_loop(lambda number, *_: number < size, step, start, maximum_iterations=size)
    return centres
