"""What a training step costs, and how much of it is the input pipeline: python -m benchmarks.training_step.

Medians over the same number of steps of configs/vae.flags, on the embedded recordings: as trained; with the same batch
again and again in place of the pipeline (what the pipeline adds is the difference); with the loss replaced by the mean
of the output, so that network and optimizer remain; and the pipeline alone. A matrix product tells how fast the machine
was.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

import keras_audio_vae as kav
from benchmarks.machine import describe_machine
from keras_audio_vae.datasets import Augmentation, ChunkPipeline, load, split
from keras_audio_vae.training import make_optimizer
from trainers.flags import parse
from trainers.settings import FitSettings


class OutputOnly:
    """Stands in for a reconstruction loss: the mean of the output, which costs nothing and reaches every weight."""

    names = ("output",)

    def terms(self, original: tf.Tensor, estimate: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """Mean of each estimate, float32 [batch]."""
        return {"output": tf.reduce_mean(estimate, axis=[1, 2])}

    def total(self, terms: dict[str, tf.Tensor]) -> tf.Tensor:
        """The only term."""
        return terms["output"]


def make_model(settings: FitSettings, without_loss: bool = False) -> kav.VAE:
    """The model of a flag file, with its optimizer, maybe without its loss."""
    model = kav.VAE(**settings.model_arguments())
    if without_loss:
        model.reconstruction_loss = OutputOnly()
        model.trackers = {name: model.trackers[name] for name in ("loss", "kl", "rate_bps", "beta", "active_units")}
    model.compile(
        make_optimizer(model.trainable_variables, learning_rate=1e-3, weight_decay=0.01, ema_decay=settings.ema_decay)
    )
    return model


def seconds_per_step(step: Callable[[dict], object], batches: Iterator[dict], steps: int) -> float:
    """Median seconds of a step and the wait for its batch, after three steps that build and warm."""
    for _ in range(3):
        step(next(batches))
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step(next(batches))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="What a training step costs, and the input pipeline's share of it.")
    parser.add_argument("--steps", type=int, default=40, help="steps per figure (40)")
    parser.add_argument("--flagfile", default="configs/vae.flags", help="whose model and batches (configs/vae.flags)")
    arguments = parser.parse_args()
    settings = parse(FitSettings, [f"--flagfile={arguments.flagfile}"])
    pipeline = ChunkPipeline(split(load("fluidnotes"))["train"], chunk_samples=settings.chunk_samples)

    def stream() -> Iterator[dict]:
        augmentation = Augmentation(**settings.augmentation_arguments())
        return iter(pipeline.training(settings.batch_size, augmentation=augmentation))

    def same_batch() -> Iterator[dict]:
        batch = next(stream())
        while True:
            yield batch

    train = tf.function(make_model(settings).train_step)
    train_without_loss = tf.function(make_model(settings, without_loss=True).train_step)
    figures = {
        "step as trained": seconds_per_step(train, stream(), arguments.steps),
        "step on one batch, no pipeline": seconds_per_step(train, same_batch(), arguments.steps),
        "step with the loss left out": seconds_per_step(train_without_loss, stream(), arguments.steps),
        "pipeline alone": seconds_per_step(lambda batch: batch, stream(), arguments.steps),
    }
    print(describe_machine())
    batch_seconds = settings.batch_size * settings.chunk_samples / settings.sample_rate
    for name, seconds in figures.items():
        print(f"{name:32} {1000 * seconds:8.1f} ms  {batch_seconds / seconds:8.1f} audio-s/s")
    with_pipeline, without, _, alone = figures.values()
    print(
        f"pipeline, share of a step: {with_pipeline / without - 1:.1%} by difference, {alone / with_pipeline:.1%} alone"
    )


if __name__ == "__main__":
    main()
