"""What a figure was measured on, and how fast that machine was at the moment."""

import os
import platform
import statistics
import time

import tensorflow as tf


def describe_machine() -> str:
    """Processor cores, Python, TensorFlow, and the speed of a matrix product just now, in one line."""
    versions = f"Python {platform.python_version()}, TensorFlow {tf.__version__}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {versions}; matrix product {gigaflops():.0f} GFLOP/s"


def gigaflops(size: int = 1024, repeats: int = 10) -> float:
    """Speed of a float32 matrix product on all cores, the named yardstick of the benchmarks.

    Args:
        size: Rows and columns of the square matrices.
        repeats: Products, of which the median counts.

    Returns:
        10^9 floating-point operations per second.
    """
    matrix = tf.random.stateless_normal([size, size], seed=[0, 0])
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[2:]) / 1e9
