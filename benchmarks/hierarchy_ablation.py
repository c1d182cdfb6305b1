"""What each part of the two levels is worth: python -m benchmarks.hierarchy_ablation --steps=2000.

Each row is one training of configs/hvae.flags with one thing changed, measured on the validation recordings. "not
residual" lets the encoder give the bottom's posterior outright, charged against the same conditional prior; "decoder
without the top" hides the top from the decoder, so that it speaks through the prior alone; "fixed prior" charges the
bottom against N(0, 1), whatever the top says.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import tensorflow as tf

from benchmarks import trials
from benchmarks.machine import describe_machine
from keras_audio_vae import HVAE, metrics
from keras_audio_vae.layers import ConditionalGaussian, ResidualGaussianHead
from trainers import data
from trainers.flags import parse
from trainers.settings import FitSettings

FLAGS = {
    "as shipped": [],
    "no coarse term": ["--coarse_weight=0"],
    "bottom charged first": ["--warmup_order=bottom", "--warmup_steps=500"],
    "top charged first": ["--warmup_order=top", "--warmup_steps=500"],
    "VampPrior": ["--top_prior=vamp"],
    "half as wide": ["--top_width=64"],
    "twice as wide": ["--top_width=256"],
    "half of the top's rate": ["--top_target_bps=150", "--target_bps=2850"],
    "twice the top's rate": ["--top_target_bps=600", "--target_bps=2400"],
}


@contextmanager
def outright_posterior() -> Iterator[None]:
    """The bottom's posterior without regard to its prior."""
    call = ResidualGaussianHead.call

    def changed(
        self: ResidualGaussianHead, hidden: tf.Tensor, context: tf.Tensor, skip: tf.Tensor | None = None
    ) -> ConditionalGaussian:
        mean, deviation, shift, ratio = call(self, hidden, context, skip)
        return ConditionalGaussian(mean, deviation, shift - mean / deviation, ratio / deviation)

    with mock.patch.object(ResidualGaussianHead, "call", changed):
        yield


@contextmanager
def deaf_decoder() -> Iterator[None]:
    """A decoder that gets zeros in the top's place."""
    decode = HVAE._decode_bottom

    def changed(self: HVAE, bottom: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
        return decode(self, bottom, tf.zeros_like(context))

    with mock.patch.object(HVAE, "_decode_bottom", changed):
        yield


@contextmanager
def fixed_prior() -> Iterator[None]:
    """A bottom that expects N(0, 1)."""
    call = ResidualGaussianHead.call

    def changed(
        self: ResidualGaussianHead, hidden: tf.Tensor, context: tf.Tensor, skip: tf.Tensor | None = None
    ) -> ConditionalGaussian:
        mean, deviation, shift, ratio = call(self, hidden, context, skip)
        return ConditionalGaussian(tf.zeros_like(mean), tf.ones_like(deviation), shift * deviation, ratio)

    with mock.patch.object(ResidualGaussianHead, "call", changed):
        yield


CHANGES = {
    "not residual": outright_posterior,
    "decoder without the top": deaf_decoder,
    "fixed prior": fixed_prior,
}


def train(flags: list[str]) -> metrics.Report:
    """Trains once, and measures on the validation recordings."""
    settings = parse(FitSettings, flags)
    parts = data.split(data.load(settings.data, settings), settings)
    model = trials.train(settings, data.chunk(parts["train"], settings))
    return trials.measure(model, data.chunk(parts["valid"], settings))


def describe(name: str, report: metrics.Report) -> str:
    """A row of the Markdown table."""
    figures = [report.summary(measure).mean for measure in ("mel distance", "STFT distance", "cosine similarity")]
    use = report.latents
    rises = [level.shuffled_rise["mel distance"] for level in use.levels.values()]
    cells = [*(f"{figure:.3f}" for figure in figures), f"{report.summary('rate (bits/s)').mean:.0f}"]
    cells += [f"{100 * use.shares['top']:.0f} %", *(f"x {rise:.2f}" for rise in rises)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Trains and prints row after row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="of each training (2000)")
    parser.add_argument("--rows", nargs="+", default=[*FLAGS, *CHANGES], help="only these")
    parser.add_argument("flags", nargs="*", help="further flags of trainers.fit for every row, after a --")
    arguments = parser.parse_args()
    always = ["--flagfile=configs/hvae.flags", "--max_minutes=0", "--epochs=1", "--tensorboard=false"]
    always += [f"--steps_per_epoch={arguments.steps}", *arguments.flags]
    print(f"{describe_machine()}\n{arguments.steps} steps each\n")
    print("| | mel | STFT | cosine | bits/s | of the top | mel, top shuffled | mel, bottom shuffled |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.rows:
        with CHANGES.get(name, nullcontext)():
            print(describe(name, train([*always, *FLAGS.get(name, [])])), flush=True)


if __name__ == "__main__":
    main()
