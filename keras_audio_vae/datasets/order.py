"""What training draws: order, offsets and gains, each a pure function of (seed, step, row of the global batch).

No state is kept and nothing is shuffled in a buffer: any step can be drawn at any time, alone, so that a run that is
resumed at some step sees what an unbroken run sees, and any number of replicas sees the same global batches.
"""

import tensorflow as tf

# One stream of random numbers for each use, so that they do not follow each other.
_ORDER, _OFFSET, _GAIN = 0, 1, 2


def _stream(seed: int, use: int, counter: tf.Tensor) -> tf.Tensor:
    """The stateless seed of one use at one step or epoch: int64 [2]."""
    base = tf.constant([seed % 2**63, use], tf.int64)
    return tf.random.experimental.stateless_fold_in(base, counter)


def chunks_of_step(step: tf.Tensor, batch_size: int, num_chunks: int, seed: int) -> tf.Tensor:
    """The chunks of one global batch.

    Every epoch is a new permutation of all chunks, cut into `num_chunks // batch_size` batches; the few that are left
    over come another time. With fewer chunks than a batch has rows, the permutation is repeated within the batch.

    Args:
        step: int64 [], from the start of the training.
        batch_size: rows of the global batch.
        num_chunks: how many there are.
        seed: of the run.

    Returns:
        int64 [batch_size], numbers of chunks.

    Example:
        >>> sorted(chunks_of_step(tf.constant(0, tf.int64), 4, 4, seed=0).numpy().tolist())
        [0, 1, 2, 3]
    """
    steps_per_epoch = max(1, num_chunks // batch_size)
    place = (step % steps_per_epoch) * batch_size + tf.range(batch_size, dtype=tf.int64)
    return tf.random.experimental.index_shuffle(
        place % num_chunks,
        seed=_stream(seed, _ORDER, step // steps_per_epoch),
        max_index=tf.constant(num_chunks - 1, tf.int64),
    )


def random_offsets(step: tf.Tensor, batch_size: int, reach: int, seed: int) -> tf.Tensor:
    """How far each chunk of a batch is moved in time.

    Args:
        step: int64 [].
        batch_size: rows of the global batch.
        reach: width of the range, in samples.
        seed: of the run.

    Returns:
        int64 [batch_size], uniform from -(reach // 2) to just below reach - reach // 2.

    Example:
        >>> random_offsets(tf.constant(0, tf.int64), 2, reach=1, seed=0).numpy()
        array([0, 0])
    """
    seeds = _stream(seed, _OFFSET, step)
    return tf.random.stateless_uniform([batch_size], seeds, -(reach // 2), reach - reach // 2, tf.int64)


def random_gains(step: tf.Tensor, batch_size: int, gain_db: float, seed: int) -> tf.Tensor:
    """The factor that each chunk of a batch is multiplied by.

    Args:
        step: int64 [].
        batch_size: rows of the global batch.
        gain_db: largest change either way, in dB.
        seed: of the run.

    Returns:
        float32 [batch_size], uniform in dB.

    Example:
        >>> random_gains(tf.constant(0, tf.int64), 2, gain_db=0.0, seed=0).numpy()
        array([1., 1.], dtype=float32)
    """
    decibels = tf.random.stateless_uniform([batch_size], _stream(seed, _GAIN, step), -gain_db, gain_db)
    return 10.0 ** (decibels / 20.0)
