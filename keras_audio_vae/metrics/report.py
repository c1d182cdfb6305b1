"""The figures of an evaluation, as a table to read and as JSON to compute with."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_audio_vae.files import write_text
from keras_audio_vae.metrics.statistics import Summary, summarize
from keras_audio_vae.metrics.use import SHUFFLED, Use, rise_lines

RECONSTRUCTION = "reconstruction"
"""Name of the row that holds the model's own figures."""


@dataclass(frozen=True)
class Report:
    """The figures of a model on whole recordings, beside those of trivial baselines.

    Attributes:
        recordings: Names of the recordings, in the order of every list of values.
        seconds: Their total duration.
        sample_rate: Samples per second at which they were compared, Hz.
        directions: By the name of a measure, "lower is better", "higher is better", or what else is to be known of it.
        values: values[row][measure] holds one figure per recording; not every row has every measure.
        latents: What the latents are used for: `LatentUse`, `LevelUse` or `CodeUse`.
        title: What the recordings are, or nothing.

    Example:
        >>> from keras_audio_vae.metrics.use import LatentUse
        >>> report = Report(
        ...     recordings=("a.wav", "b.wav"),
        ...     seconds=4.0,
        ...     sample_rate=22050,
        ...     directions={"mel distance": "lower is better"},
        ...     values={"reconstruction": {"mel distance": [1.0, 2.0]}, "silence": {"mel distance": [8.0, 9.0]}},
        ...     latents=LatentUse(35.0, (0.5, 0.0), 1, {"mel distance": 2.5}),
        ... )
        >>> print(report.table())
        2 recordings, 4.0 s at 22050 Hz
        <BLANKLINE>
                              mean  median  95 % interval of the mean
        mel distance (lower is better)
          reconstruction     1.500   1.500   1.000 to 2.000
          silence            8.500   8.500   8.000 to 9.000
        <BLANKLINE>
        latents             2 dimensions at 35.0 frames per second
        active units        1 of 2 (50 %)
        shuffled latents    mel distance x2.50
    """

    recordings: Sequence[str]
    seconds: float
    sample_rate: int
    directions: Mapping[str, str]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    latents: Use
    title: str = ""

    def summary(self, measure: str, row: str = RECONSTRUCTION) -> Summary:
        """Returns mean, median and interval of a measure, by default of the model's own row."""
        return summarize(self.values[row][measure])

    def table(self) -> str:
        """Returns the aligned text: under each measure the model's row and the others, then the use of the latents."""
        label = max(len(row) for row in self.values) + 2
        groups = [(measure, list(self._rows(measure))) for measure in self.directions]
        figures = {
            (measure, row): _figures(summary, _decimals(summaries))
            for measure, summaries in groups
            for row, summary in summaries
        }
        width = max(len(figure) for cells in figures.values() for figure in cells)
        width = max(width, len("median"))
        counted = f"{len(self.recordings)} recording{'s' if len(self.recordings) > 1 else ''}"
        lines = [self.title] if self.title else []
        lines += [f"{counted}, {self.seconds:.1f} s at {self.sample_rate} Hz", ""]
        lines.append(f"{'':{label}}  {'mean':>{width}}  {'median':>{width}}  95 % interval of the mean")
        for measure, summaries in groups:
            lines.append(f"{measure} ({self.directions[measure]})" if self.directions[measure] else measure)
            for row, _ in summaries:
                mean, median, low, high = (f"{figure:>{width}}" for figure in figures[measure, row])
                lines.append(f"  {row:{label}}{mean}  {median}  {low} to {high.strip()}")
        return "\n".join([*lines, "", *self._latent_lines()])

    def to_json(self) -> str:
        """Returns the same figures with the values of every recording, as indented JSON."""
        measures = {
            measure: {
                "direction": direction,
                "rows": {
                    row: {**dataclasses.asdict(summary), "values": [float(v) for v in self.values[row][measure]]}
                    for row, summary in self._rows(measure)
                },
            }
            for measure, direction in self.directions.items()
        }
        content = {
            "title": self.title,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "recordings": list(self.recordings),
            "measures": measures,
            "latents": self.latents.to_dict(),
        }
        return json.dumps(content, indent=2, allow_nan=False)

    def write(self, directory: str | os.PathLike[str]) -> list[str]:
        """Writes evaluation.txt (the table) and evaluation.json into a directory and returns their paths."""
        paths = []
        for name, text in (("evaluation.txt", self.table()), ("evaluation.json", self.to_json())):
            paths.append(os.path.join(directory, name))
            write_text(paths[-1], text + "\n")
        return paths

    def _rows(self, measure: str) -> Iterator[tuple[str, Summary]]:
        """Yields the rows that have this measure, with their summaries."""
        for row, values in self.values.items():
            if measure in values:
                yield row, summarize(values[measure])

    def _latent_lines(self) -> list[str]:
        """Returns the lines below the table."""
        rises = rise_lines(self.latents.shuffled_rise) or [("", "not measured: it takes two recordings")]
        shuffled = [(SHUFFLED, rises[0][1]), *rises[1:]]
        return [f"{title:20}{text}" for title, text in (*self.latents.lines(), *shuffled)]


def _decimals(summaries: Sequence[tuple[str, Summary]]) -> int:
    """Returns the decimals that give a measure's largest mean four significant digits, the same in all its rows."""
    largest = max(abs(summary.mean) for _, summary in summaries)
    return int(np.clip(3 - np.floor(np.log10(max(largest, 1e-9))), 0, 7))


def _figures(summary: Summary, decimals: int) -> tuple[str, str, str, str]:
    """Returns mean, median, low and high as text."""
    mean, median, low, high = (
        f"{value:.{decimals}f}" for value in (summary.mean, summary.median, summary.low, summary.high)
    )
    return mean, median, low, high
