"""What two levels of latents are worth: python -m benchmarks.hierarchy runs/hvae runs/vae.

Takes runs that `trainers.fit` has finished, of any model of Gaussian latents, and prints Markdown tables of the
recordings of one part of the data of each, the test split unless --split names another:

    distances   of the reconstruction, the rate, and how much louder it is than the original above 4 kHz, a mean over
                recordings of 10 log10 of the ratio of the energies (the blur of a model shows there first)
    levels      of runs of two levels: KL, active units and share of the rate of each; how many times larger the mel
                distance is with one level, or both, of another recording; how many times larger the bottom's KL is when
                it is told by another's top; and the rate with z2 drawn, where the first table has that of its mean
    swaps       of notes of two instruments, the top of one with the bottom of the other: whose instrument a classifier
                hears, and whose pitch pyin. The classifier is a logistic regression on mean and deviation of the mel
                bands, fitted to the original notes for training and validation; only notes that both hear rightly in
                the original are swapped. "as it is" carries the bottom's latents over unchanged, "relative" their place
                in the conditional prior. Only of the test split: the classifier has heard the others.

With --plot, distances over rates go to a picture, a line for each kind of model.
"""

import argparse
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import describe_machine
from keras_audio_vae import HVAE, metrics
from keras_audio_vae.datasets.splits import SPLITS
from trainers import data
from trainers.rundir import RunDirectory
from trainers.settings import FitSettings

HIGH_HZ = 4000.0
FLOOR = 1e-8  # of a recording's whole energy: where there is nothing above 4 kHz, nothing is compared with that
BANDS = 64
DISTANCES = ("mel distance", "STFT distance", "cosine similarity", "rate (bits/s)")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, and what it is measured on.

    Attributes:
        path: Its folder.
        model: What was trained.
        settings: How.
        recordings: Names and waveforms, float32 [samples, channels].
        report: The model's measures of them.
    """

    path: str
    model: Any
    settings: FitSettings
    recordings: Sequence[tuple[str, np.ndarray]]
    report: metrics.Report

    @classmethod
    def read(cls, path: str, split: str) -> "Run":
        """Reads the run and measures it on a split of its data."""
        run = RunDirectory(path)
        model, settings = run.load_model(), run.settings()
        recordings = list(recordings_of(split, settings))
        return cls(path, model, settings, recordings, metrics.evaluate(model, recordings, baselines={}))


@dataclasses.dataclass(frozen=True)
class Note:
    """A note of an instrument.

    Attributes:
        instrument: Its name.
        pitch: MIDI number.
        sound: float32 [samples].
    """

    instrument: str
    pitch: float
    sound: np.ndarray


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders that trainers.fit wrote")
    parser.add_argument("--split", choices=SPLITS, default="test", help="part of the data that is measured (test)")
    parser.add_argument(
        "--pairs", type=int, default=56, help="of notes that are swapped, of each run, with --split=test (56)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of the pairs (0)")
    parser.add_argument("--plot", help="picture of the distances over the rates")
    arguments = parser.parse_args()
    print(describe_machine())
    runs = [Run.read(path, arguments.split) for path in arguments.runs]
    print_distances(runs, arguments.split)
    hierarchical = [run for run in runs if isinstance(run.model, HVAE)]
    if hierarchical:
        print_levels(hierarchical)
    if hierarchical and arguments.split == "test":
        print_swaps(hierarchical, arguments.pairs, arguments.seed)
    if arguments.plot:
        plot(runs, Path(arguments.plot))


def recordings_of(split: str, settings: FitSettings) -> Iterator[tuple[str, np.ndarray]]:
    """Names and waveforms of a split."""
    parts = data.split(data.load(settings.data, settings), settings)
    for entry, waveform, _ in data.chunk(parts[split], settings).recordings():
        yield entry.recording_id, np.asarray(waveform, np.float32).reshape(len(waveform), -1)


def row(cells: Sequence[Any]) -> str:
    """A line of a Markdown table; numbers from 100 without decimals, smaller ones with three."""
    texts = [f"{cell:.{0 if abs(cell) >= 100 else 3}f}" if isinstance(cell, float) else str(cell) for cell in cells]
    return f"| {' | '.join(texts)} |"


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A Markdown table."""
    print(f"\n{title}\n\n{row(head)}\n{'|---' * len(head)}|")
    print("\n".join(map(row, rows)), flush=True)


# Distances and blur.


def energy_above(waveform: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """Energy above 4 kHz, and the whole; [samples, channels]."""
    power = np.abs(np.fft.rfft(np.asarray(waveform, np.float64), axis=0)) ** 2
    high = np.fft.rfftfreq(len(waveform), 1 / sample_rate) > HIGH_HZ
    return float(power[high].sum()), float(power.sum())


def high_band_decibels(model: Any, recordings: Sequence[tuple[str, np.ndarray]]) -> float:
    """How much louder the reconstruction is above 4 kHz than the original, a mean over recordings, dB."""
    ratios = []
    for _, waveform in recordings:
        (original, whole), (made, _) = (
            energy_above(sound, model.sample_rate)
            for sound in (waveform, np.asarray(model.reconstruct(waveform[np.newaxis]))[0])
        )
        floor = FLOOR * whole + 1e-12
        ratios.append(10 * np.log10((made + floor) / (original + floor)))
    return float(np.mean(ratios))


def print_distances(runs: Sequence[Run], split: str) -> None:
    """Distances, rates and what is above 4 kHz."""
    rows = []
    for run in runs:
        distances = [run.report.summary(name).mean for name in DISTANCES]
        rows.append([run.path, *distances, high_band_decibels(run.model, run.recordings)])
    print_table(f"Recordings of the {split} split, means:", ["run", *DISTANCES, "above 4 kHz (dB)"], rows)


def plot(runs: Sequence[Run], path: Path) -> None:
    """Draws distances over rates, a line for each kind of model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), DISTANCES[:2], strict=True):
        for kind in sorted({type(run.model).__name__ for run in runs}):
            chosen = [run.report for run in runs if type(run.model).__name__ == kind]
            points = sorted((r.summary(DISTANCES[-1]).mean, r.summary(name).mean) for r in chosen)
            axes.plot(*zip(*points, strict=True), "o-", label=kind)
        axes.set(xlabel=DISTANCES[-1], ylabel=name)
        axes.legend()
    figure.savefig(path, dpi=120)


# Levels.


def rate_with_drawn_top(model: HVAE, recordings: Sequence[tuple[str, np.ndarray]]) -> float:
    """Bits per second with z2 drawn from its posterior, the rate that is paid in training."""
    rates = []
    for number, (_, waveform) in enumerate(recordings):
        batch = waveform[np.newaxis]
        kl = model.kl_per_dimension(batch, top=model.posterior(batch).top.sample(seed=number))
        nats = [metrics.kl_nats_per_frame(level) for level in kl]
        rates.append(sum(map(metrics.bits_per_second, nats, model.frames_per_second)))
    return float(np.mean(rates))


def print_levels(runs: Sequence[Run]) -> None:
    """What each level carries."""
    head = [
        "run",
        "level",
        "bits/s",
        "share",
        "nats per dimension",
        "active",
        "mel, this level shuffled",
        "KL of bottom",
    ]
    rows, both = [], []
    for run in runs:
        use = run.report.latents
        for name, level in use.levels.items():
            nats = sum(level.kl_per_dimension) / level.dimensions
            rises = [rise for measure, rise in level.shuffled_rise.items() if measure.startswith(("mel", "KL"))]
            cells = [f"x {rise:.2f}" for rise in rises] + [""] * (2 - len(rises))
            rows.append([run.path, name, level.rate_bps, use.shares[name], nats, level.active_share, *cells])
        drawn = rate_with_drawn_top(run.model, run.recordings)
        both.append([run.path, f"x {use.shuffled_rise['mel distance']:.2f}", drawn])
    print_table("Levels:", head, rows)
    print_table("Both levels:", ["run", "mel, both shuffled", "bits/s with z2 drawn"], both)


# Swaps.


def notes_of(settings: FitSettings, splits: Sequence[str]) -> list[Note]:
    """The notes of some splits."""
    parts = data.split(data.load(settings.data, settings), settings)
    return [
        Note(entry.labels["instrument"], float(entry.labels["pitch_midi"]), np.asarray(waveform)[:, 0])
        for split in splits
        for entry, waveform, _ in data.chunk(parts[split], settings).recordings()
        if entry.labels.get("kind") == "note"
    ]


def mel_statistics(sound: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean and deviation of each band of a log-mel spectrogram over time."""
    decibels = librosa.power_to_db(librosa.feature.melspectrogram(y=sound, sr=sample_rate, n_mels=BANDS), amin=1e-8)
    return np.concatenate([decibels.mean(axis=1), decibels.std(axis=1)])


def pitch_of(sound: np.ndarray, sample_rate: int) -> float:
    """Median pitch of the voiced frames, a MIDI number; NaN without any."""
    limits = {"fmin": 30.0, "fmax": 2200.0, "hop_length": 1024, "resolution": 0.2}
    frequencies, voiced, _ = librosa.pyin(sound, sr=sample_rate, **limits)
    return float(librosa.hz_to_midi(np.median(frequencies[voiced]))) if voiced.any() else float("nan")


@functools.cache
def ears(sample_rate: int, settings: FitSettings) -> tuple[Any, list[Note], int]:
    """The classifier, the test notes that it and pyin hear rightly, and how many test notes there are."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    known = notes_of(settings, ["train", "valid"])
    classifier.fit([mel_statistics(note.sound, sample_rate) for note in known], [note.instrument for note in known])
    notes = notes_of(settings, ["test"])
    heard = classifier.predict([mel_statistics(note.sound, sample_rate) for note in notes])
    right = [
        note
        for note, name in zip(notes, heard, strict=True)
        if name == note.instrument and abs(pitch_of(note.sound, sample_rate) - note.pitch) < 0.5
    ]
    return classifier, right, len(notes)


def choose_pairs(notes: Sequence[Note], count: int, seed: int) -> list[tuple[Note, Note]]:
    """Pairs of notes of two instruments and two pitches, by chance."""
    pairs = [(a, b) for a in notes for b in notes if a.instrument != b.instrument and abs(a.pitch - b.pitch) >= 1]
    order = np.random.default_rng(seed).permutation(len(pairs))[:count]
    return [pairs[place] for place in order]


def judge(model: HVAE, pairs: Sequence[tuple[Note, Note]], classifier: Any, relative: bool) -> list[float]:
    """Shares of the swaps: instrument of z2's donor, of z1's, the likelier of both is z2's; pitch of z2's, of z1's."""
    votes = []
    for fine, outline in pairs:  # the bottom of the first, the top of the second
        a, b = (np.resize(note.sound, len(fine.sound))[np.newaxis, :, np.newaxis] for note in (fine, outline))
        sound = np.asarray(model.swap(a, b, "top", relative))[0, :, 0]
        chances = dict(
            zip(
                classifier.classes_,
                classifier.predict_proba([mel_statistics(sound, model.sample_rate)])[0],
                strict=True,
            )
        )
        name, pitch = max(chances, key=chances.get), pitch_of(sound, model.sample_rate)
        of_names = [name == outline.instrument, name == fine.instrument]
        likelier = chances[outline.instrument] > chances[fine.instrument]
        votes.append([*of_names, likelier, abs(pitch - outline.pitch) < 0.5, abs(pitch - fine.pitch) < 0.5])
    return np.mean(np.array(votes, np.float64), axis=0).tolist()


def print_swaps(runs: Sequence[Run], count: int, seed: int) -> None:
    """Which level carries timbre and which pitch."""
    rows, notes, total = [], [], 0
    for run in runs:
        classifier, notes, total = ears(run.model.sample_rate, run.settings)
        pairs = choose_pairs(notes, count, seed)
        if pairs:
            for relative in (False, True):
                name = "relative" if relative else "as it is"
                rows.append([run.path, name, len(pairs), *judge(run.model, pairs, classifier, relative)])
    title = f"Swaps; {len(notes)} of {total} test notes are heard rightly and take part:"
    head = ["run", "bottom", "swaps", "instrument of z2", "of z1", "z2's likelier than z1's", "pitch of z2", "of z1"]
    print_table(title, head, rows)


if __name__ == "__main__":
    main()
