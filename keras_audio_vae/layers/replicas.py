"""What every replica must know of the others: sums over the global batch, and its own rows of what is drawn for it."""

from collections.abc import Callable

import tensorflow as tf


def _replica_context() -> tf.distribute.ReplicaContext | None:
    """The replica context, or None where there is one replica or none (while a model is built)."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def num_replicas() -> int:
    """Replicas that train in step; 1 without a distribution strategy.

    Example:
        >>> num_replicas()
        1
    """
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_mean(values):
    """Mean over the replicas of a tensor, or of each tensor of a structure; the same on every replica.

    Args:
        values: Tensors, each of the same shape on every replica.

    Returns:
        The same structure. A gradient goes back to every replica: the mean of the replicas' gradients.

    Example:
        >>> float(replica_mean(tf.constant(3.0)))
        3.0
    """
    context = _replica_context()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def replica_sum(values):
    """Sum over the replicas of a tensor, or of each tensor of a structure; the same on every replica.

    Args:
        values: Tensors, each of the same shape on every replica.

    Returns:
        The same structure.

    Example:
        >>> float(replica_sum(tf.constant(3.0)))
        3.0
    """
    context = _replica_context()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def replica_place() -> tuple[tf.Tensor, int]:
    """Which replica this is, an int32 scalar from 0, and how many there are.

    Example:
        >>> number, count = replica_place()
        >>> int(number), count
        (0, 1)
    """
    context = _replica_context()
    if context is None:
        return tf.constant(0), 1
    return tf.cast(context.replica_id_in_sync_group, tf.int32), context.num_replicas_in_sync


def own_rows(draw: Callable[[tf.Tensor], tf.Tensor], rows) -> tf.Tensor:
    """This replica's rows of what is drawn for the global batch.

    Every replica draws for the whole global batch and takes its own rows, so that an example meets the same chance
    whatever the number of replicas.

    Args:
        draw: Gives a tensor of as many rows as it is told, the same on every replica.
        rows: Rows of this replica, an int or an int32 scalar.

    Returns:
        `rows` rows of the tensor.

    Example:
        >>> own_rows(lambda rows: tf.random.stateless_uniform([rows, 3], [0, 1]), rows=2).shape
        TensorShape([2, 3])
    """
    place, count = replica_place()
    drawn = draw(rows * count)
    return drawn if count == 1 else drawn[place * rows : (place + 1) * rows]


def global_noise(shape, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal noise for this replica's rows of a batch.

    An example meets the same noise whatever the number of replicas (`own_rows`). Latents are small: drawing them a few
    times over costs nothing that can be measured.

    Args:
        shape: [rows, ...] of this replica, ints or an int32 tensor.
        seed: int32 [2]; the same seed gives the same noise.

    Returns:
        float32 of that shape.

    Example:
        >>> a, b = (global_noise([4, 35, 8], tf.constant([0, step])) for step in (1, 1))
        >>> bool(tf.reduce_all(a == b))
        True
    """
    shape = tf.convert_to_tensor(shape)

    def draw(rows: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal(tf.concat([[rows], shape[1:]], 0), seed)

    return own_rows(draw, shape[0])
