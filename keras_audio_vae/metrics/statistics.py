"""A measure over many recordings in four numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Resampled values that are held at once (8 MB): a corpus of any size can be summarised.
_BLOCK_VALUES = 1_000_000


@dataclass(frozen=True)
class Summary:
    """Mean, median and the confidence interval of the mean.

    Attributes:
        mean: Mean over the values.
        median: Median of the values, which one odd recording does not move.
        low: Lower end of the confidence interval of the mean.
        high: Upper end of it.
        count: Number of values.

    Example:
        >>> Summary(mean=1.5, median=1.4, low=1.2, high=1.8, count=41).mean
        1.5
    """

    mean: float
    median: float
    low: float
    high: float
    count: int


def summarize(
    values: Sequence[float] | np.ndarray, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Summary:
    """Summarises one measure over the recordings.

    The interval is the percentile bootstrap of the mean: the recordings are drawn anew, with replacement, `resamples`
    times, and the interval holds the middle `confidence` of the means. It tells how far the mean would move with
    other recordings of the same kind, nothing about another training of the model.

    Reference: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.

    Args:
        values: One value per recording.
        confidence: Share of the means that the interval holds, between 0 and 1.
        resamples: How many means are drawn.
        seed: Of the drawing: the same values give the same interval.

    Example:
        >>> summarize([1.0, 2.0, 6.0])
        Summary(mean=3.0, median=2.0, low=1.0, high=6.0, count=3)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"A summary needs a list of at least one value; these are of shape {values.shape}.")
    generator = np.random.default_rng(seed)
    block = max(1, _BLOCK_VALUES // values.size)
    means = np.concatenate(
        [
            values[generator.integers(values.size, size=(min(block, resamples - done), values.size))].mean(axis=1)
            for done in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Summary(float(values.mean()), float(np.median(values)), float(low), float(high), values.size)
