"""Where a run computes: one device, all visible GPUs, or several logical CPU devices; and in which precision."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from keras_audio_vae.errors import UserError

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def make_strategy(replicas: int = 0) -> tf.distribute.Strategy:
    """Chooses the distribution strategy of a run.

    The batch size of this package is always the global one: every replica takes `batch_size / replicas` rows of it.

    Args:
        replicas: Number of replicas. 0 takes all visible GPUs, or one CPU where there is none. N takes N GPUs, or,
            where there is none, splits the CPU into N logical devices: slower than one, but it runs the same program
            as N GPUs do, so that it can be tried on a laptop. TensorFlow can split the CPU only before its first
            operation.

    Returns:
        The default strategy for one device, otherwise a `tf.distribute.MirroredStrategy`.

    Raises:
        UserError: there are fewer GPUs than asked for, or the CPU can no longer be split.

    Example:
        >>> make_strategy(replicas=1).num_replicas_in_sync
        1
    """
    if replicas < 0:
        raise UserError(f"replicas must be 0 (all visible GPUs, or one CPU) or a positive number, got {replicas}.")
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    if replicas > len(gpus) > 0:
        raise UserError(f"replicas is {replicas}, but {len(gpus)} GPUs are visible: ask for at most {len(gpus)}.")
    wanted = replicas or max(1, len(gpus))
    if wanted == 1:
        return tf.distribute.get_strategy()
    devices = [device.name for device in gpus[:wanted]] or _logical_cpus(wanted)
    return _mirrored(tuple(devices))


def check_strategy(strategy: tf.distribute.Strategy, *, batch_size: int, jit_compile: bool = False) -> None:
    """Refuses what can't be done with the devices of a run.

    Args:
        strategy: Of the run.
        batch_size: The global batch, of which every replica has to get the same number of rows.
        jit_compile: Whether XLA is to compile the step. It compiles for one device, and what it compiles can't add up
            the gradients of several logical CPU devices.

    Raises:
        UserError: Either can't be.

    Example:
        >>> check_strategy(make_strategy(replicas=1), batch_size=0)
        Traceback (most recent call last):
        ...
        keras_audio_vae.errors.UserError: batch_size is the global batch and must divide by the 1 replicas, got 0.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size < 1 or batch_size % replicas:
        raise UserError(f"batch_size is the global batch and must divide by the {replicas} replicas, got {batch_size}.")
    if jit_compile and replicas > 1 and any("CPU" in device for device in strategy.extended.worker_devices):
        raise UserError("jit_compile takes one CPU or GPUs, not several replicas of one CPU: leave out one of the two.")


@contextmanager
def precision(mixed_precision: str = "float32") -> Iterator[None]:
    """Sets the arithmetic of the layers that are built under it; weights, losses and latents stay float32.

    float16 is not offered: its loss scaling takes the verdict of the first replica only, so that an overflow on another
    one would reach the weights.

    Args:
        mixed_precision: "float32", or "bfloat16" (faster on GPUs since Ampere and on CPUs with AMX; slower elsewhere).

    Raises:
        UserError: any other value.

    Example:
        >>> with precision("bfloat16"):
        ...     dense = keras.layers.Dense(1)
        >>> dense.compute_dtype, dense.variable_dtype, keras.layers.Dense(1).compute_dtype
        ('bfloat16', 'float32', 'float32')
    """
    if mixed_precision not in _POLICIES:
        raise UserError(f"mixed_precision must be one of {', '.join(_POLICIES)}, got {mixed_precision!r}.")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[mixed_precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy per set of devices: each numbers its collectives from the start, and two would be mistaken."""
    return tf.distribute.MirroredStrategy(devices)


def _logical_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if not tf.config.get_logical_device_configuration(cpu):
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise UserError(
                f"The CPU can't be split into {count} replicas any more: TensorFlow has computed something already. "
                "Make the strategy first thing in the program."
            ) from error
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < count:
        raise UserError(f"replicas is {count}, but this process has split its CPU into {len(devices)} already.")
    return [device.name for device in devices[:count]]
