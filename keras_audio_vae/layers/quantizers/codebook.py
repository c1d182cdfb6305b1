"""The codes themselves, and how they follow the tokens: placed by k-means, moved by averages, restarted when unused."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_audio_vae.layers.quantizers.kmeans import count_and_sum, kmeans
from keras_audio_vae.layers.quantizers.tokens import Tokens
from keras_audio_vae.layers.quantizers.usage import Usage
from keras_audio_vae.layers.replicas import replica_sum

TOKENS_PER_CODE = 4
"""How many tokens k-means waits for: with fewer its centres are the tokens themselves, and the averages do the rest."""

DRAWING, PLACING, RESTARTING, DROPPING = range(4)
"""What a random number is for."""


@keras.saving.register_keras_serializable("keras_audio_vae")
class Codebook(keras.layers.Layer):
    """Vectors that stand for tokens.

    With `update="ema"` each code is the average of the tokens that chose it, older ones counting less. It is moved by
    difference, c += (1 - decay) (sum of its tokens - n c) / (T N), where n of T tokens chose it and N is the moving
    average of n / T: the ratio of the two averages of the original without dividing by one that may be next to 0, so
    that no smoothing is needed and a code without tokens stays exactly where it is.

    Args:
        size: Codes.
        dim: Of each.
        update: "ema", or "gradient": then the vectors are a trainable weight.
        decay: Of the averages.
        kmeans_init: Whether the first tokens place the codes.
        restart_threshold: A code is dead when N < restart_threshold / size; 0 for never.
        normalize: Whether codes have length 1.
        seed: Of all that is random.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Reference:
        van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, NeurIPS 2017, appendix A.1.
    """

    def __init__(
        self,
        size: int,
        dim: int,
        update: str = "ema",
        decay: float = 0.99,
        kmeans_init: bool = True,
        restart_threshold: float = 0.15,
        normalize: bool = False,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size, self.dim, self.update, self.decay = size, dim, update, decay
        self.kmeans_init, self.restart_threshold = kmeans_init, restart_threshold
        self.normalize, self.seed = normalize, seed
        state = {"trainable": False, "aggregation": "only_first_replica"}
        self.vectors = self.add_weight(
            name="vectors",
            shape=(size, dim),
            initializer=keras.initializers.RandomNormal(stddev=dim**-0.5, seed=seed),
            trainable=update == "gradient",
            aggregation="only_first_replica",
        )
        self.vectors.is_assigned = True  # by k-means and restarts: see `training.variables.is_assigned`
        self.shares = self.add_weight(
            name="shares", shape=(size,), initializer=keras.initializers.Constant(1.0 / size), **state
        )
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", **state)
        if kmeans_init:
            self.collected = self.add_weight(
                name="collected", shape=(TOKENS_PER_CODE * size, dim), initializer="zeros", **state
            )
            self.num_collected = self.add_weight(
                name="num_collected", shape=(), dtype="int64", initializer="zeros", **state
            )
        self.usage = Usage(size)
        self.built = True

    def values(self, vectors: tf.Tensor | None = None) -> tf.Tensor:
        """The codes, or the given ones, as tokens are compared with them: float32 [size, dim]."""
        vectors = tf.convert_to_tensor(self.vectors) if vectors is None else vectors
        return tf.math.l2_normalize(vectors, axis=-1) if self.normalize else vectors

    def step_seed(self, purpose: int) -> tf.Tensor:
        """Seed of the random numbers of one training step for a purpose: int64 [2]."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(self.step)])
        return tf.random.experimental.stateless_fold_in(seed, purpose)

    def num_dead(self) -> tf.Tensor:
        """How many codes are used less than the threshold: float32 scalar."""
        return tf.reduce_sum(tf.cast(self._are_dead(tf.convert_to_tensor(self.shares)), tf.float32))

    def _are_dead(self, shares: tf.Tensor) -> tf.Tensor:
        return shares < self.restart_threshold / self.size

    def place(self, tokens: Tokens) -> "Placed":
        """Before a training step: where the codes are, or begin.

        Until k-means has had TOKENS_PER_CODE * size tokens, a sample of each batch is collected; the codes are not
        ready till then. All replicas collect the same and place the same codes.

        Args:
            tokens: Those of this step.

        Returns:
            The codes of this step.
        """
        sample, sampled = tokens.draw(self.size, self.step_seed(DRAWING))
        placing, restarting = self.step_seed(PLACING), self.step_seed(RESTARTING)
        self.step.assign_add(tf.cast(tokens.total > 0.0, tf.int64))
        vectors, shares = tf.convert_to_tensor(self.vectors), tf.convert_to_tensor(self.shares)
        if not self.kmeans_init:
            return Placed(vectors, shares, tf.constant(True), sample, sampled, restarting)
        collected, enough, due = self._collect(sample, sampled)
        centres, centre_shares = tf.cond(
            due,
            lambda: kmeans(collected, self.size, placing, self.normalize),
            lambda: (tf.zeros([self.size, self.dim]), tf.zeros([self.size])),
        )
        vectors = tf.where(due, tf.stop_gradient(centres), vectors)
        return Placed(vectors, tf.where(due, centre_shares, shares), enough, sample, sampled, restarting)

    def _collect(self, sample: tf.Tensor, sampled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Puts a sample before what was collected; returns all of it, whether it is enough, and since this step."""
        collected, before = tf.convert_to_tensor(self.collected), tf.convert_to_tensor(self.num_collected)
        wanted = collected.shape[0]
        collecting = before < wanted
        position = tf.range(wanted, dtype=tf.int64)
        index = tf.where(position < sampled, position, self.size + position - sampled)
        collected = tf.where(collecting, tf.gather(tf.concat([sample, collected], 0), index), collected)
        count = tf.minimum(before + sampled, wanted)
        self.collected.assign(collected)
        self.num_collected.assign(count)
        return collected, count >= wanted, tf.logical_and(collecting, count >= wanted)

    def follow(self, placed: "Placed", tokens: Tokens, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """After a training step: moves the codes to their tokens, and the dead ones to tokens of the batch.

        Args:
            placed: The codes of this step.
            tokens: Those of this step, none of which counts unless the codes are ready.
            codes: int32 [tokens], what each token chose.

        Returns:
            How many codes were dead, and how many of these were restarted (there may be fewer tokens than dead codes):
            float32 scalars.
        """
        counts, sums = replica_sum(count_and_sum(tokens.values, codes, self.size, tokens.weights))
        rate = tf.where(tokens.total > 0.0, 1.0 - self.decay, 0.0)
        shares = placed.shares + rate * (tf.math.divide_no_nan(counts, tokens.total) - placed.shares)
        vectors = placed.vectors
        if self.update == "ema":
            vectors = self._averaged(vectors, rate, shares * tokens.total, counts[:, tf.newaxis], sums)
        dead = tf.logical_and(self._are_dead(shares), tokens.total > 0.0)
        revived, index = _assign_rows(dead, placed.sampled, placed.seed)
        self.vectors.assign(tf.where(revived[:, tf.newaxis], tf.gather(placed.sample, index), vectors))
        self.shares.assign(tf.where(revived, 1.0 / self.size, shares))
        self.usage.update(counts)
        return tf.reduce_sum(tf.cast(dead, tf.float32)), tf.reduce_sum(tf.cast(revived, tf.float32))

    def _averaged(
        self, vectors: tf.Tensor, rate: tf.Tensor, running: tf.Tensor, counts: tf.Tensor, sums: tf.Tensor
    ) -> tf.Tensor:
        """The codes after their moving average has taken a batch in; those without tokens exactly as they were."""
        values = self.values(vectors)
        change = tf.math.divide_no_nan(sums - counts * values, running[:, tf.newaxis])
        return tf.where(counts > 0.0, self.values(values + rate * change), vectors)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        names = ("size", "dim", "update", "decay", "kmeans_init", "restart_threshold", "normalize", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Placed(NamedTuple):
    """The codes of one training step, and what is needed to move them afterwards.

    Attributes:
        vectors: float32 [size, dim]; `Codebook.values` of them is what tokens are compared with.
        shares: float32 [size], moving averages of each code's share of the tokens.
        ready: bool scalar, whether the codes have been placed.
        sample: float32 [size, dim], tokens of the global batch, the same on every replica.
        sampled: int64 scalar, how many rows of the sample are tokens.
        seed: int64 [2], of this step's restarts.
    """

    vectors: tf.Tensor
    shares: tf.Tensor
    ready: tf.Tensor
    sample: tf.Tensor
    sampled: tf.Tensor
    seed: tf.Tensor


@tf.custom_gradient
def look_up(vectors: tf.Tensor, codes: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The vectors of codes, with a dense gradient: a sparse one would cost more where replicas and norms meet it.

    Args:
        vectors: float32 [size, dim].
        codes: int32 [...].

    Returns:
        float32 [..., dim].

    Example:
        >>> look_up(tf.constant([[1.0], [2.0]]), tf.constant([1, 1, 0])).numpy().ravel()
        array([2., 2., 1.], dtype=float32)
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.math.unsorted_segment_sum(upstream, codes, tf.shape(vectors)[0]), None

    return tf.gather(vectors, codes), gradient


def _assign_rows(dead: tf.Tensor, rows: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives dead codes rows of a sample, spread over it and no row twice: which codes get one, and which row."""
    number = tf.cumsum(tf.cast(dead, tf.int64)) - 1  # of each dead code, from 0
    served = tf.logical_and(dead, number < rows)
    wanted = tf.maximum(tf.minimum(tf.reduce_sum(tf.cast(dead, tf.int64)), rows), 1)
    shift = tf.random.stateless_uniform([], seed, minval=0, maxval=tf.maximum(rows, 1), dtype=tf.int64)
    index = (number * rows // wanted + shift) % tf.maximum(rows, 1)
    return served, tf.where(served, index, 0)
