"""The vectors of all replicas as one list of tokens: how many count, their means, and a sample of them."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_audio_vae.layers.replicas import replica_place, replica_sum

NOT_FINITE = "its inputs are not finite"
"""Words by which the error of `require_finite` is known."""


class Tokens(NamedTuple):
    """The vectors of a batch in a row.

    Attributes:
        values: float32 [tokens, dim], those of this replica; 0 where they do not count, and throughout if they are not
            finite on some replica.
        weights: float32 [tokens], 1 for those that count, 0 for padding and for a batch that is not finite.
        counts: int64 [replicas], how many count on each replica; the same on every replica.
        finite: bool scalar, whether all are finite on every replica.
    """

    values: tf.Tensor
    weights: tf.Tensor
    counts: tf.Tensor
    finite: tf.Tensor

    @property
    def total(self) -> tf.Tensor:
        """How many count in the global batch: float32 scalar."""
        return tf.cast(tf.reduce_sum(self.counts), tf.float32)

    def restricted(self, condition: tf.Tensor) -> "Tokens":
        """The same tokens, none of which counts unless the condition, a bool scalar, holds."""
        return self._replace(weights=tf.where(condition, self.weights, 0.0), counts=tf.where(condition, self.counts, 0))

    def means(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Means over the tokens that count in the global batch, in one collective; 0 if none does.

        Args:
            values: Each float32 [tokens] or [tokens, dim].

        Returns:
            Each float32 scalar or [dim], the same on every replica.
        """
        sums = replica_sum([_weighted_sum(each, self.weights) for each in values])
        return [tf.math.divide_no_nan(each, self.total) for each in sums]

    def own_mean(self, values: tf.Tensor) -> tf.Tensor:
        """This replica's part of a mean: the mean of all replicas' parts is that over the global batch.

        Args:
            values: float32 [tokens].

        Returns:
            float32 scalar; needs no collective, and its gradient stays on this replica.
        """
        _, replicas = replica_place()
        return tf.math.divide_no_nan(replicas * _weighted_sum(values, self.weights), self.total)

    def draw(self, rows: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A sample of the tokens that count in the global batch, the same on every replica.

        Every (total / rows)-th is taken, from a random one on, so that none is taken twice; all if there are fewer.
        What this costs does not grow with the number of replicas: each sends [rows, dim].

        Args:
            rows: How many.
            seed: int32 [2]; the same seed takes the same.

        Returns:
            float32 [rows, dim], and int64 scalar, how many rows hold a token: the others, at the end, hold zeros.
        """
        total = tf.reduce_sum(self.counts)
        span = tf.maximum(total, rows)
        start = tf.random.stateless_uniform([], seed, minval=0, maxval=span, dtype=tf.int64)
        ranks = (tf.range(rows, dtype=tf.int64) * span + start) // rows
        place, _ = replica_place()
        ranks_here = ranks - tf.reduce_sum(self.counts[:place])
        here = tf.logical_and(ranks_here >= 0, ranks_here < self.counts[place])
        numbers = tf.cumsum(tf.cast(self.weights, tf.int64))  # of the tokens that count, from 1
        index = tf.searchsorted(numbers, ranks_here + 1)
        with_zeros = tf.pad(self.values, [[0, 1], [0, 0]])  # the last row stands for what other replicas have
        drawn = tf.gather(with_zeros, tf.where(here, index, tf.shape(self.values)[0]))
        return replica_sum(drawn), tf.minimum(total, rows)


def as_tokens(vectors: tf.Tensor, weights: tf.Tensor) -> Tokens:
    """Puts the vectors of a batch in a row, and counts them over all replicas.

    Args:
        vectors: float32 [batch, frames, dim]; their gradient is stopped.
        weights: float32 [batch, frames], 1 or 0. What padding holds does not matter, be it NaN.

    Returns:
        The tokens.

    Example:
        >>> tokens = as_tokens(tf.ones([2, 5, 3]), tf.ones([2, 5]))
        >>> float(tokens.total), tokens.draw(4, tf.constant([0, 1]))[0].shape
        (10.0, TensorShape([4, 3]))
    """
    values, weights = counted_rows(tf.stop_gradient(vectors), weights), tf.reshape(weights, [-1])
    place, replicas = replica_place()
    finite = tf.reduce_all(tf.math.is_finite(tf.reduce_sum(tf.square(values), axis=-1)))  # squares overflow first
    counts, broken = replica_sum(
        [tf.one_hot(place, replicas) * tf.reduce_sum(weights), 1.0 - tf.cast(finite, tf.float32)]
    )
    finite = broken < 0.5
    tokens = Tokens(tf.where(finite, values, 0.0), weights, tf.cast(counts, tf.int64), finite)
    return tokens.restricted(finite)


def counted_rows(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Vectors in a row, zeros where they do not count: [batch, frames, dim] -> [tokens, dim].

    Zero times infinity is not zero: what does not count has to go before it is weighted.

    Example:
        >>> counted_rows(tf.constant([[[1.0], [float("inf")]]]), tf.constant([[1.0, 0.0]])).numpy().ravel()
        array([1., 0.], dtype=float32)
    """
    rows = tf.reshape(vectors, [-1, vectors.shape[-1]])
    return tf.where(tf.reshape(weights, [-1, 1]) > 0.0, rows, 0.0)


def as_vectors(inputs: tf.Tensor, dim: int, name: str) -> tf.Tensor:
    """What a quantizer is given, as it computes with it.

    Args:
        inputs: [batch, frames, dim] of any float type.
        dim: The quantizer's.
        name: Its name, for the message.

    Returns:
        float32 [batch, frames, dim].

    Raises:
        ValueError: If the rank, the last dimension or the type is another.

    Example:
        >>> as_vectors(tf.ones([2, 5, 3]), dim=4, name="codes")
        Traceback (most recent call last):
        ValueError: Quantizer codes takes floats [batch, frames, 4], not float32 (2, 5, 3).
    """
    inputs = tf.convert_to_tensor(inputs)
    if inputs.shape.rank != 3 or inputs.shape[-1] not in (None, dim) or not inputs.dtype.is_floating:
        raise ValueError(
            f"Quantizer {name} takes floats [batch, frames, {dim}], not {inputs.dtype.name} {tuple(inputs.shape)}."
        )
    return tf.cast(inputs, tf.float32)


def as_columns(codes: tf.Tensor, sizes: Sequence[int], least: int, name: str) -> tf.Tensor:
    """What a quantizer decodes.

    Args:
        codes: Integers [batch, frames, columns].
        sizes: Codes of each codebook; there is at most a column for each.
        least: Columns that there have to be.
        name: The quantizer's, for the message.

    Returns:
        int32 [batch, frames, columns].

    Raises:
        ValueError: If they are no integers, the rank or the number of columns is another, or there is no such code;
            in a graph the latter is a tf.errors.InvalidArgumentError.

    Example:
        >>> as_columns(tf.zeros([2, 5, 3], tf.int32), sizes=[8], least=1, name="codes")
        Traceback (most recent call last):
        ValueError: Quantizer codes takes codes [batch, frames, 1], not (2, 5, 3).
    """
    codes, most = tf.convert_to_tensor(codes), len(sizes)
    if not codes.dtype.is_integer:
        raise ValueError(f"Quantizer {name} takes codes that are integers, not {codes.dtype.name}.")
    if codes.shape.rank != 3 or (codes.shape[-1] is not None and not least <= codes.shape[-1] <= most):
        columns = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"Quantizer {name} takes codes [batch, frames, {columns}], not {tuple(codes.shape)}.")
    return tf.cast(require_codes(codes, sizes, least), tf.int32)


def require_codes(codes: tf.Tensor, sizes: Sequence[int], least: int = 1) -> tf.Tensor:
    """Codes, if there are such: what a gather makes of others depends on the device.

    Args:
        codes: Integers [batch, frames, columns].
        sizes: Codes of each codebook, of the first columns and maybe more.
        least: Columns that there have to be.

    Returns:
        The codes.

    Raises:
        ValueError: Some code is below 0 or beyond its codebook; it names the codebook. In a graph, where columns are
            counted too, it is a tf.errors.InvalidArgumentError; XLA leaves that out.

    Example:
        >>> require_codes(tf.constant([[[0, 3], [1, 8]]]), sizes=(8, 8))
        Traceback (most recent call last):
        ValueError: Codes of codebook 1 are 0 to 7; these reach from 3 to 8.
    """
    if not tf.executing_eagerly():
        return _asserted(codes, sizes, least)
    for book, size in enumerate(sizes[: codes.shape[-1]] if tf.size(codes) > 0 else ()):
        lowest, highest = (int(reduce(codes[..., book])) for reduce in (tf.reduce_min, tf.reduce_max))
        if lowest < 0 or highest >= size:
            raise ValueError(f"Codes of codebook {book} are 0 to {size - 1}; these reach from {lowest} to {highest}.")
    return codes


def _asserted(codes: tf.Tensor, sizes: Sequence[int], least: int) -> tf.Tensor:
    columns = tf.shape(codes)[-1]
    fits = tf.logical_and(columns >= least, columns <= len(sizes))
    needed = f"from {least} to {len(sizes)} columns"
    counted = tf.debugging.Assert(fits, [f"Codes are [batch, frames, columns], {needed}, not", tf.shape(codes)])
    with tf.control_dependencies([counted]):
        limits = tf.constant(sizes, codes.dtype)[:columns]
        there = tf.reduce_all(tf.logical_and(codes >= 0, codes < limits))
        message = f"Codes reach from 0 to the sizes of the codebooks, {', '.join(map(str, sizes))}, less 1."
        with tf.control_dependencies([tf.debugging.Assert(there, [message])]):
            return tf.identity(codes)


def require_finite(tokens: Tokens, name: str) -> None:
    """Raises where vectors, or their squares, are not finite, on every replica alike, so that none waits for another.

    XLA leaves assertions out: under it the step's losses are NaN, and the statistics have still not moved.

    Raises:
        tf.errors.InvalidArgumentError: It names the layer.
    """
    message = (
        f"Quantizer {name}: {NOT_FINITE} in this training step (NaN, infinity, or squares beyond float32); none of its "
        "statistics has moved. Look at the batch and at the learning rate: the encoder before it gave these values."
    )
    tf.debugging.Assert(tokens.finite, [message])


def _weighted_sum(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values * (weights if values.shape.rank == 1 else weights[:, tf.newaxis]), axis=0)
