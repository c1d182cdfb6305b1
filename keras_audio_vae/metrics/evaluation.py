"""One loop over whole recordings: what the model makes of each, and what the baselines do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_audio_vae.errors import UserError
from keras_audio_vae.metrics.baselines import BASELINES, Baseline
from keras_audio_vae.metrics.latents import fit_frames
from keras_audio_vae.metrics.reconstruction import MEASURES, Measure
from keras_audio_vae.metrics.report import RECONSTRUCTION, Report
from keras_audio_vae.metrics.use import SHUFFLED, shuffled_row
from keras_audio_vae.metrics.watches import watch_for

SPECTROGRAM = "spectrogram distance (decades)"
"""How far the mel bands themselves are, before a waveform is found for them."""

CONVERSION = "conversion alone"
"""The row of what mel bands and their synthesis cost with no model between."""


class EvaluatedModel(Protocol):
    """What `evaluate` asks of a model; arrays or tensors, float32, with the batch first.

    Beside what stands here, a model of Gaussian latents has `kl_per_dimension` ([1, samples, channels] -> nats [1,
    frames, latent_dim]), and one of codes `codebook_sizes`; its latents are int32 [1, frames, codebooks]. Of a model of
    several levels, latents are a NamedTuple of such arrays, the slowest first, and so is what `kl_per_dimension` and
    `innovations` give. One of mel bands says so by `predicts_spectrogram`, and has `spectrogram_distance` ([1, samples,
    channels], latents -> [1]) and `convert`, which turns a waveform into mel bands and back with no model between.

    Example:
        >>> class Copy:
        ...     sample_rate, latent_hop = 8000, 1
        ...     def reconstruct(self, waveform): return waveform
        ...     def encode(self, waveform): return waveform
        ...     def decode(self, latents, num_samples): return latents[:, :num_samples]
        ...     def kl_per_dimension(self, waveform): return waveform**2 / 2
        >>> model: EvaluatedModel = Copy()
    """

    sample_rate: int
    latent_hop: int

    def reconstruct(self, waveform: Any) -> Any:
        """Maps [1, samples, channels] to the same shape."""

    def encode(self, waveform: Any) -> Any:
        """Maps [1, samples, channels] to the posterior's mean [1, frames, latent_dim]."""

    def decode(self, latents: Any, num_samples: int) -> Any:
        """Maps [1, frames, latent_dim] to [1, num_samples, channels]."""


def evaluate(
    model: EvaluatedModel,
    recordings: Iterable[tuple[str, np.ndarray]],
    *,
    measures: Sequence[Measure] = MEASURES,
    baselines: Mapping[str, Baseline] = BASELINES,
    seed: int = 0,
    title: str = "",
) -> Report:
    """Measures a model on whole recordings, one at a time.

    The rows are the model's reconstruction, the same decoder given the latents of another recording, and the
    baselines. For the second, a recording takes the latents of one drawn from those before it (the first of all: from
    those after it), repeated or cut to its own number of frames: so the recordings can come from a generator and only
    latents are kept.

    Args:
        model: Anything with the interface of `EvaluatedModel`.
        recordings: Pairs of a name and a waveform, [samples] or [samples, channels], at the model's sample rate.
        measures: What is measured; `MEASURES` and, if wanted, measures of your own. The rise with shuffled latents is
            given for those of them that are distances.
        baselines: What is measured beside the model, by name.
        seed: Of the drawing of the other recordings.
        title: What the recordings are, such as the name of their split: the report's first line.

    Returns:
        The report.

    Raises:
        UserError: If there is no recording, or a reconstruction is not finite.

    Example:
        >>> class Copy:
        ...     sample_rate, latent_hop = 8000, 1
        ...     def reconstruct(self, waveform): return waveform
        ...     def encode(self, waveform): return waveform
        ...     def decode(self, latents, num_samples): return latents[:, :num_samples]
        ...     def kl_per_dimension(self, waveform): return waveform**2 / 2
        >>> noise = np.random.default_rng(0).normal(size=[2, 4000])
        >>> report = evaluate(Copy(), [("one", noise[0]), ("two", noise[1])])
        >>> report.summary("mel distance").mean
        0.0
        >>> report.latents.active_units
        1
    """
    evaluation = _Evaluation(model, measures, baselines, seed)
    for name, waveform in recordings:
        evaluation.add(name, np.asarray(waveform, np.float32).reshape(len(waveform), -1))
    if not evaluation.names:
        raise UserError("There is no recording to evaluate.")
    return evaluation.report(title)


def _latent_distances(model: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """By name, what is measured of a waveform and latents, both with the batch, before there is sound."""
    return {SPECTROGRAM: model.spectrogram_distance} if getattr(model, "predicts_spectrogram", False) else {}


class _Evaluation:
    """The figures and the latents gathered so far."""

    def __init__(
        self, model: EvaluatedModel, measures: Sequence[Measure], baselines: Mapping[str, Baseline], seed: int
    ):
        self.model: Any = model
        self.measures = measures
        self.baselines = baselines
        self.generator = np.random.default_rng(seed)
        self.watch = watch_for(model)
        self.latent_distances = _latent_distances(model)
        if self.latent_distances:
            self.baselines = {
                CONVERSION: lambda waveform, _: np.asarray(self.model.convert(waveform[np.newaxis]))[0],
                **baselines,
            }
        self.names: list[str] = []
        self.samples = 0
        self.latents: list[Any] = []  # of each recording, [frames, latent_dim] or codes, or a NamedTuple of such levels
        self.values: dict[str, dict[str, list[float]]] = {}

    def add(self, name: str, waveform: np.ndarray) -> None:
        """Measures one recording, [samples, channels]."""
        batch = waveform[np.newaxis]
        self._measure(RECONSTRUCTION, waveform, _finite(self.model.reconstruct(batch), name))
        for baseline, function in self.baselines.items():
            self._measure(baseline, waveform, function(waveform, self.model.sample_rate))
        for measure, value in self.watch.add(batch).items():
            self._note(RECONSTRUCTION, measure, float(_finite([value], name)))
        latents = self.model.encode(batch)
        self._measure_latents(RECONSTRUCTION, batch, latents)
        self.latents.append(tf.nest.map_structure(lambda level: _finite(level, name).astype(self.watch.dtype), latents))
        self.names.append(name)
        self.samples += len(waveform)
        if len(self.names) == 1:
            self.first = waveform
        else:
            self._measure_shuffled(len(self.names) - 1, waveform, int(self.generator.integers(len(self.names) - 1)))

    def report(self, title: str) -> Report:
        """Returns the figures; nothing can be added after it."""
        if len(self.names) > 1:
            self._measure_shuffled(0, self.first, int(self.generator.integers(1, len(self.names))))
        directions = {m.name: f"{'higher' if m.higher_is_better else 'lower'} is better" for m in self.measures}
        directions |= dict.fromkeys(self.latent_distances, "lower is better")
        shuffled = [row for row in self.values if row not in (RECONSTRUCTION, *self.baselines)]
        return Report(
            recordings=tuple(self.names),
            seconds=self.samples / self.model.sample_rate,
            sample_rate=self.model.sample_rate,
            directions={**directions, **self.watch.directions},
            values={row: self.values[row] for row in (RECONSTRUCTION, *shuffled, *self.baselines)},
            latents=self.watch.use(self.latents, {row: self._rise(row) for row in shuffled}),
            title=title,
        )

    def _measure_shuffled(self, recording: int, waveform: np.ndarray, other: int) -> None:
        """Measures what the decoder makes of another recording's latents where this recording was asked for."""
        own = self.latents[recording]
        others = tf.nest.map_structure(lambda level, mine: fit_frames(level, len(mine)), self.latents[other], own)
        for row, latents in shuffles(own, others).items():
            with_batch = tf.nest.map_structure(lambda level: level[np.newaxis], latents)
            estimate = self.model.decode(with_batch, len(waveform))
            self._measure(row, waveform, _finite(estimate, self.names[recording]), position=recording)
            self._measure_latents(row, waveform[np.newaxis], with_batch, position=recording)
        for (row, measure), value in self.watch.add_shuffled(waveform[np.newaxis], others).items():
            self._note(row, measure, value, position=recording)

    def _measure(self, row: str, original: np.ndarray, estimate: np.ndarray, position: int | None = None) -> None:
        for measure in self.measures:
            self._note(row, measure.name, measure.function(original, estimate, self.model.sample_rate), position)

    def _measure_latents(self, row: str, batch: np.ndarray, latents: Any, position: int | None = None) -> None:
        for name, distance in self.latent_distances.items():
            self._note(row, name, float(np.asarray(distance(batch, latents))[0]), position)

    def _note(self, row: str, measure: str, value: float, position: int | None = None) -> None:
        """Keeps a figure at a recording's place, by default the end."""
        figures = self.values.setdefault(row, {}).setdefault(measure, [])
        figures.insert(len(figures) if position is None else position, value)

    def _rise(self, row: str) -> dict[str, float]:
        """Returns, for every distance, the mean of a row of other latents over the mean with the right ones."""
        means = {r: {m: float(np.mean(v)) for m, v in self.values[r].items()} for r in (RECONSTRUCTION, row)}
        distances = {measure.name for measure in self.measures if not measure.higher_is_better}
        distances |= {*self.latent_distances, *self.watch.directions}
        kept = [name for name in means[row] if name in distances]
        return {name: means[row][name] / max(means[RECONSTRUCTION][name], 1e-12) for name in kept}


def shuffles(own: Any, others: Any) -> dict[str, Any]:
    """Latents in which another recording has a part, by the name of their row: all of them, then each level alone.

    Args:
        own: The recording's latents: an array, or a NamedTuple of arrays.
        others: Another recording's, with as many frames.

    Example:
        >>> list(shuffles(np.zeros([3, 2]), np.ones([3, 2])))
        ['shuffled latents']
    """
    levels = {shuffled_row(name): own._replace(**{name: getattr(others, name)}) for name in getattr(own, "_fields", ())}
    return {SHUFFLED: others, **levels}


def _finite(output: Any, name: str) -> np.ndarray:
    """Returns what the model gave for a batch of one as an array without the batch, or says that it has diverged."""
    array = np.asarray(output, np.float32)[0]
    if not np.all(np.isfinite(array)):
        raise UserError(
            f"{name}: what the model makes of this recording holds NaN or infinite values. Its training has diverged: "
            "evaluate an earlier checkpoint, or train again with a lower learning rate."
        )
    return array
