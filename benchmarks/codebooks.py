"""How codebooks are used and how steady their loss is: python -m benchmarks.codebooks --part=ablation.

Each row is one training of a flag file on the embedded recordings, with one thing changed. Printed are the distances of
whole recordings, and of each codebook the share of codes used and the perplexity over its size, both from the counts
of all frames of the split. Of the quantizer's loss (commitment, and codebook where codes are learnt by gradient) two
figures, after `WARMUP` steps: the largest value over the median of the `WINDOW` steps before it, and how the median of
the last `WINDOW` steps compares with that of the first.

    ablation    each option of the quantizer for the other one, on the validation split
    stability   three times the learning rate, a fourth and four times the input's level, each with both commitments
    seeds       the flag file as it is, on the test split

Recordings and figures of a run also go to a JSON line of the file that --output names.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import trials
from benchmarks.machine import describe_machine
from keras_audio_vae import metrics, models
from keras_audio_vae.datasets import ChunkPipeline
from trainers import data
from trainers.flags import parse
from trainers.settings import FitSettings

WARMUP = 200  # steps: that of the learning rate, and until the codes have been placed and have settled
WINDOW = 100  # steps of a running median

KMEANS_AND_RESTARTS = ["--kmeans_init=true", "--restart_threshold=0.3"]
ABLATION = {
    "as shipped": [],
    "codebook by gradient": ["--codebook_update=gradient"],
    "k-means": ["--kmeans_init=true"],
    "restarts": ["--restart_threshold=0.3"],
    "k-means and restarts": KMEANS_AND_RESTARTS,
    "no conscience": ["--conscience=0"],
    "k-means and restarts, no conscience": [*KMEANS_AND_RESTARTS, "--conscience=0"],
    "rotation": ["--code_gradient=rotation"],
    "evenness 0.1": ["--evenness_weight=0.1"],
    "constant commitment": ["--commitment=constant"],
}
STABILITY = {
    f"{change}, {commitment}": [*flags, f"--commitment={commitment}"]
    for change, flags in {
        "as shipped": [],
        "learning rate x 3": ["--learning_rate=0.006"],
        "input x 4": ["gain=4"],
        "input x 0.25": ["gain=0.25"],
    }.items()
    for commitment in ("adaptive", "constant")
}


class Louder(ChunkPipeline):
    """Chunks and recordings, each multiplied by a gain."""

    gain = 1.0

    def training(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """See `ChunkPipeline.training`."""
        return super().training(*args, **kwargs).map(self._louder)

    def recordings(self) -> Iterator[tuple[Any, np.ndarray, float]]:
        """See `ChunkPipeline.recordings`."""
        for recording, waveform, gain in super().recordings():
            yield recording, self.gain * waveform, gain

    def _louder(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**batch, "waveform": self.gain * batch["waveform"]}


class LossPerStep(keras.callbacks.Callback):
    """Keeps the quantizer's loss of every step, where logs hold running means."""

    def __init__(self, model_losses: tuple[str, ...] = ("commitment", "codebook")) -> None:
        """Takes the names of the terms that are added up."""
        super().__init__()
        self.names, self.totals = model_losses, (0.0, 0.0)
        self.values: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """The running means begin anew."""
        self.totals = (0.0, 0.0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Takes the step's own value out of the running sums."""
        trackers = [self.model.trackers[name] for name in self.names if name in self.model.trackers]
        total, count = sum(float(each.total) for each in trackers), float(trackers[0].count)
        self.values.append((total - self.totals[0]) / (count - self.totals[1]))
        self.totals = total, count

    def worst_jump(self) -> float:
        """The largest value after the warm-up over the median of the steps before it."""
        losses = self.values
        return max(losses[i] / float(np.median(losses[i - WINDOW : i])) for i in range(WARMUP, len(losses)))

    def change(self) -> float:
        """The last steps' median over that of the steps after the warm-up."""
        return float(np.median(self.values[-WINDOW:]) / np.median(self.values[WARMUP : WARMUP + WINDOW]))


def train(flags: list[str], splits: list[str]) -> dict[str, dict[str, Any]]:
    """Trains once, and measures on each split; `flags` are those of `trainers.fit`, and maybe gain=X."""
    settings = parse(FitSettings, [flag for flag in flags if flag.startswith("--")])
    gain = float(next((flag.removeprefix("gain=") for flag in flags if flag.startswith("gain=")), 1))
    parts = data.split(data.load(settings.data, settings), settings)
    pipelines = {name: Louder(parts[name], chunk_samples=settings.chunk_samples) for name in ("train", *splits)}
    for pipeline in pipelines.values():
        pipeline.gain = gain
    losses, started = LossPerStep(), time.monotonic()
    model = trials.train(settings, pipelines["train"], [losses])
    seconds = time.monotonic() - started
    steady = {
        "jump": losses.worst_jump(),
        "change": losses.change(),
        "ms_per_step": 1000 * seconds / len(losses.values),
        "losses": [round(value, 6) for value in losses.values],
    }
    return {split: {**measure(model, pipelines[split]), **steady} for split in splits}


def measure(model: models.VQVAE, pipeline: ChunkPipeline) -> dict[str, Any]:
    """Distances of whole recordings, and the use of the codes over all of them."""
    report = trials.measure(model, pipeline)
    use = report.latents
    assert isinstance(use, metrics.CodeUse), f"{model.name} has no codes"
    return {
        **{name: report.summary(name).mean for name in ("mel distance", "STFT distance", "cosine similarity")},
        "usage": use.usage,
        "perplexity": [p / size for p, size in zip(use.perplexity, use.codebook_sizes, strict=True)],
        "nominal_bps": use.nominal_bps,
        "entropy_bps": use.entropy_bps,
    }


def describe(name: str, row: dict[str, Any]) -> str:
    """A row of the Markdown table."""
    used = f"{min(row['usage']):.3f} to {max(row['usage']):.3f}"
    perplexity = f"{min(row['perplexity']):.2f} to {max(row['perplexity']):.2f}"
    distances = " | ".join(f"{row[key]:.3f}" for key in ("mel distance", "STFT distance", "cosine similarity"))
    return f"| {name} | {distances} | {used} | {perplexity} | {row['jump']:.2f} | {row['change']:.2f} |"


def main() -> None:
    """Trains and prints row after row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("ablation", "stability", "seeds"), required=True)
    parser.add_argument("--flagfile", default="configs/vqvae.flags", help="what is trained (configs/vqvae.flags)")
    parser.add_argument("--steps", type=int, default=500, help="of each training (500)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the part seeds (0 1 2)")
    parser.add_argument("--rows", nargs="+", help="of the part, only these")
    parser.add_argument("--splits", nargs="+", help="on what is measured (seeds: valid and test, the others: valid)")
    parser.add_argument("--output", help="file to which a JSON line is added for each row")
    parser.add_argument("flags", nargs="*", help="further flags of trainers.fit for every row, after a --")
    arguments = parser.parse_args()
    if arguments.steps < WARMUP + 2 * WINDOW:
        parser.error(f"--steps must be at least {WARMUP + 2 * WINDOW}, to tell the end from the beginning")
    rows = {
        "ablation": ABLATION,
        "stability": STABILITY,
        "seeds": {f"seed {seed}": [f"--seed={seed}"] for seed in arguments.seeds},
    }[arguments.part]
    always = [f"--flagfile={arguments.flagfile}", "--max_minutes=0", "--epochs=1", "--tensorboard=false"]
    always += [f"--steps_per_epoch={arguments.steps}", *arguments.flags]
    splits = arguments.splits or (["valid", "test"] if arguments.part == "seeds" else ["valid"])
    print(f"{describe_machine()}\n{arguments.flagfile}, {arguments.steps} steps each", flush=True)
    print("| | mel | STFT | cosine | codes used | perplexity, of its size | worst jump | end / begin |", flush=True)
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.rows or rows:
        flags = [*always, *rows[name]]
        for split, row in train(flags, splits).items():
            print(describe(f"{name}, {split}", row), flush=True)
            if arguments.output:
                with Path(arguments.output).open("a") as file:
                    file.write(json.dumps({"name": name, "split": split, "flags": flags, **row}) + "\n")


if __name__ == "__main__":
    main()
