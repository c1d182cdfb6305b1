"""What every replica must know of the others: means over the global batch, and its own rows of the global noise."""

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


def global_noise(shape, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal noise for this replica's rows of a batch.

    Every replica draws the noise of the whole global batch and takes its own rows, so that an example meets the same
    noise whatever the number of replicas. Latents are small: drawing them a few times over costs nothing that can be
    measured.

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
    context = _replica_context()
    if context is None:
        return tf.random.stateless_normal(shape, seed)
    shape = tf.convert_to_tensor(shape)
    noise = tf.random.stateless_normal(tf.concat([shape[:1] * context.num_replicas_in_sync, shape[1:]], 0), seed)
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * shape[0]
    return noise[first : first + shape[0]]
