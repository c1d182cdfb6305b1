"""What two levels of latents spend and pay: a rate control for each, and the figures of both for the logs."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_audio_vae.layers.replicas import replica_mean
from keras_audio_vae.layers.two_levels import Levels
from keras_audio_vae.losses.rate import RateControl

WARMUP_ORDERS = ("together", "top", "bottom")
_OF_LEVELS = ("kl", "rate_bps", "beta", "active_units")

LOG_NAMES = (
    *("kl", "rate_bps", "beta", "top_share"),
    *(f"{name}_{level}" for name in _OF_LEVELS for level in Levels._fields),
)
"""Names of all that a model of two levels reports beside its loss terms."""


def make_rate_controls(config: Mapping[str, Any], frames_per_second: float) -> Levels:
    """A `RateControl` for each level; that of the level charged later begins where the first one's ramp ends.

    Args:
        config: The model's arguments by name, those of the top with "top_" before them.
        frames_per_second: Of the bottom.

    Returns:
        `Levels` of `RateControl`.

    Example:
        >>> common = dict(rate_control="constant", warmup_steps=10, warmup_order="bottom", top_stride=5)
        >>> both = dict(beta=1.0, target_bps=0.0, free_bits=0.0, top_beta=2.0, top_target_bps=0.0, top_free_bits=0.0)
        >>> controls = make_rate_controls({**common, **both}, frames_per_second=35.0)
        >>> [[float(control.weight(step)) for control in controls] for step in (0, 10)]
        [[0.0, 1.0], [2.0, 1.0]]
    """

    def make(level: str, prefix: str, fps: float) -> RateControl:
        amounts = {name: config[prefix + name] for name in ("beta", "target_bps", "free_bits")}
        delay = config["warmup_steps"] if config["warmup_order"] not in ("together", level) else 0
        method, ramp = config["rate_control"], config["warmup_steps"]
        return RateControl(method, **amounts, warmup_steps=ramp, frames_per_second=fps, start_step=delay)

    return Levels(make("top", "top_", frames_per_second / config["top_stride"]), make("bottom", "", frames_per_second))


def penalties(controls: Levels, kl: Levels, step: tf.Tensor) -> list[tf.Tensor]:
    """The loss terms; `kl` has the nats of each dimension, `Levels` of float32 [dim]."""
    return [control.penalty(level[tf.newaxis], step) for control, level in zip(controls, kl, strict=True)]


def update(controls: Levels, logs: Mapping[str, tf.Tensor]) -> None:
    """After a training step: moves each level's weight towards its target rate."""
    for name, control in controls._asdict().items():
        control.update(logs[f"kl_{name}"], logs[f"beta_{name}"])


def rate_logs(
    controls: Levels, kl: Levels, active: Levels, step: tf.Tensor, examples: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The figures for the logs, of each level and of both.

    Args:
        controls: `Levels` of `RateControl`.
        kl: Nats per frame of each level and dimension, `Levels` of float32 [dim].
        active: Share of each level's dimensions in use.
        step: Steps taken so far.
        examples: How many examples the KLs are means of.

    Returns:
        Scalars by `LOG_NAMES`. "kl" is that of both levels in nats per frame of the bottom, and "beta" what one of them
        costs, so that "kl" times "beta" is what is paid, as it is in a model of one level; "top_share" is the top's
        share of the rate. These two are ratios, and so of the global batch; the others are this replica's.
    """
    nats = Levels(*map(tf.reduce_sum, kl))
    count, *sums = replica_mean([examples, *(examples * level for level in nats)])
    of_all = Levels(*(tf.math.divide_no_nan(level, count) for level in sums))
    weights = Levels(*(control.weight(step) for control in controls))
    rates = Levels(*(control.bits_per_second(level) for control, level in zip(controls, nats, strict=True)))
    slower = controls.top.frames_per_second / controls.bottom.frames_per_second
    total = of_all.top * slower + of_all.bottom
    paid = weights.top * of_all.top + weights.bottom * of_all.bottom
    values = dict(zip(_OF_LEVELS, (nats, rates, weights, active), strict=True))
    return {
        "kl": nats.top * slower + nats.bottom,
        "rate_bps": rates.top + rates.bottom,
        "beta": tf.math.divide_no_nan(paid, total),
        "top_share": tf.math.divide_no_nan(of_all.top * slower, total),
        **{
            f"{name}_{level}": value[index]
            for name, value in values.items()
            for index, level in enumerate(nats._fields)
        },
    }
