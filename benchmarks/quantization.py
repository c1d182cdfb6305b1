"""What quantising costs beside the arithmetic it needs: python -m benchmarks.quantization.

A million 64-dimensional vectors against 1,024 codes: `VectorQuantizer.encode`, and a plain float32 matrix product of
the same size with the argmax of every row, which builds all scores at once. Both run one after the other, again and
again, and the ratio is the median of those of the pairs: what else the machine does hits both.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import tensorflow as tf

from benchmarks.machine import describe_machine
from keras_audio_vae.layers import VectorQuantizer


def seconds_of(function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function(inputs)[0, 0].numpy()
    return time.perf_counter() - start


def peak_gib() -> float:
    """Peak memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000, help="vectors to quantise (1,000,000)")
    parser.add_argument("--dim", type=int, default=64, help="dimensions of each (64)")
    parser.add_argument("--codes", type=int, default=1024, help="codes to choose from (1,024)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements (5)")
    arguments = parser.parse_args()
    quantizer = VectorQuantizer(arguments.codes, arguments.dim, conscience=0.0)
    codebook = quantizer.codebook.values()
    vectors = tf.random.stateless_normal([1, arguments.tokens, arguments.dim], seed=[0, 1])
    quantize = tf.function(quantizer.encode, autograph=False)

    @tf.function(autograph=False)
    def product_and_argmax(inputs: tf.Tensor) -> tf.Tensor:
        return tf.argmax(tf.matmul(inputs[0], codebook, transpose_b=True), axis=-1)[tf.newaxis]

    seconds_of(quantize, vectors)
    memory = [peak_gib()]
    seconds_of(product_and_argmax, vectors)
    memory.append(peak_gib())
    pairs = [(seconds_of(quantize, vectors), seconds_of(product_and_argmax, vectors)) for _ in range(arguments.pairs)]
    print(describe_machine())
    for name, seconds, peak in zip(("quantizer", "product and argmax"), zip(*pairs, strict=True), memory, strict=True):
        print(f"{name:20} {statistics.median(seconds):7.2f} s, peak memory of the process up to it {peak:.2f} GiB")
    print(f"ratio, median of {len(pairs)} pairs: {statistics.median(own / plain for own, plain in pairs):.2f}")


if __name__ == "__main__":
    main()
