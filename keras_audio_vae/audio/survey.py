"""What is in a corpus, listened through once: silence, clipping, offset, and what cannot be read."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np

from keras_audio_vae.audio.corpus import Corpus, Recording, format_duration
from keras_audio_vae.audio.formats import printable
from keras_audio_vae.audio.streaming import BLOCK_SAMPLES, blocks
from keras_audio_vae.errors import UserError

SILENCE_DBFS = -60.0
SILENCE_SECONDS = 0.05
CLIPPED_RUN = 3  # neighbouring samples at full scale: one alone may be a peak, three in a row were cut off
NOTABLE_OFFSET = 0.01  # -40 dBFS
_DURATIONS = (1, 5, 30, 300, 1800, 7200)  # s, borders of the histogram
_NAMED = 5  # of each kind of finding, how many recordings the text names; the JSON has all


@dataclass(frozen=True)
class Findings:
    """What was heard in one recording, at its own rate and in its own channels.

    Attributes:
        recording_id: which.
        seconds: how much of it was heard: all, unless `unreadable`.
        silent_seconds: in windows of 50 ms whose root mean square is below -60 dBFS.
        clipped_samples: at full scale in runs of three or more, summed over channels.
        offset: the mean of the channel whose mean is farthest from 0.
        peak: largest magnitude.
        unreadable: why reading stopped before the end; "" where it did not.
    """

    recording_id: str
    seconds: float
    silent_seconds: float
    clipped_samples: int
    offset: float
    peak: float
    unreadable: str


@dataclass(frozen=True)
class Survey:
    """A corpus and what was heard in it.

    Attributes:
        corpus: what the scan found.
        findings: of each recording, in the corpus's order.
    """

    corpus: Corpus
    findings: tuple[Findings, ...]

    def report(self) -> str:
        """The survey as text: the scan, durations, and what is wrong with which recordings."""
        lines = [self.corpus.report(), "  durations: " + _histogram(self.corpus.recordings)]
        heard = sum(found.seconds for found in self.findings)
        silent = sum(found.silent_seconds for found in self.findings)
        share = silent / heard if heard else 0.0
        lines.append(f"  silence (below {SILENCE_DBFS:.0f} dBFS): {share:.1%}, {format_duration(silent)}")
        lines += self._named("silent throughout", lambda found: found.silent_seconds >= found.seconds > 0, lambda _: "")
        lines += self._named(
            "clipped", lambda found: found.clipped_samples, lambda found: f" ({found.clipped_samples} samples)"
        )
        lines += self._named(
            "with a DC offset",
            lambda found: abs(found.offset) if abs(found.offset) >= NOTABLE_OFFSET else 0,
            lambda found: f" ({found.offset:+.3f})",
        )
        damaged = [found for found in self.findings if found.unreadable]
        lines += [f"  damaged {printable(found.recording_id)}: {found.unreadable}" for found in damaged]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The whole of it as JSON text, with the findings of each recording."""
        content = json.loads(self.corpus.to_json())
        content["findings"] = [asdict(found) for found in self.findings]
        return json.dumps(content, indent=1) + "\n"

    def _named(self, what: str, amount: Callable[[Findings], float], say: Callable[[Findings], str]) -> list[str]:
        """One line on one kind of finding: how many recordings have it, and which have most."""
        affected = sorted((found for found in self.findings if amount(found)), key=lambda found: -amount(found))
        names = ", ".join(f"{printable(found.recording_id)}{say(found)}" for found in affected[:_NAMED])
        more = ", ..." if len(affected) > _NAMED else ""
        return [f"  {what}: {len(affected)} of {len(self.findings)} recordings" + (f": {names}{more}" if names else "")]


def survey(corpus: Corpus, threads: int = 4) -> Survey:
    """Listen to a whole corpus, in memory that does not depend on how long it or any recording is.

    Args:
        corpus: what a scan found.
        threads: how many recordings are heard at a time.

    Example:
        >>> from keras_audio_vae import datasets
        >>> found = survey(Corpus(datasets.load("fluidnotes").recordings[:1])).findings[0]
        >>> found.seconds, found.clipped_samples, found.unreadable
        (1.0, 0, '')
    """
    with ThreadPoolExecutor(threads) as pool:
        return Survey(corpus, tuple(pool.map(_listen, corpus.recordings)))


def _listen(recording: Recording) -> Findings:
    """Hear one recording, as far as it can be read."""
    # Blocks of whole windows, so that none is divided between two blocks.
    window = max(1, round(SILENCE_SECONDS * recording.sample_rate))
    clipping = _ClippingCounter(_full_scale(recording), recording.channels)
    heard = silent = 0
    peak, total = 0.0, np.zeros(recording.channels)
    unreadable = ""
    try:
        for block in blocks(recording, max(1, BLOCK_SAMPLES // window) * window):
            heard += len(block)
            silent += _silent_samples(block, window)
            peak = max(peak, float(np.abs(block).max()))
            total += block.sum(axis=0, dtype=np.float64)
            clipping.hear(block)
    except UserError as error:
        unreadable = str(error).removeprefix(f"{printable(recording.path)}: ")
    means = total / max(1, heard)
    return Findings(
        recording_id=recording.recording_id,
        seconds=heard / recording.sample_rate,
        silent_seconds=silent / recording.sample_rate,
        clipped_samples=clipping.count(),
        offset=float(means[np.argmax(np.abs(means))]),
        peak=peak,
        unreadable=unreadable,
    )


def _silent_samples(block: np.ndarray, window: int) -> int:
    """How many samples of a block lie in windows below the threshold; the last window may be shorter."""
    starts = np.arange(0, len(block), window)
    sizes = np.diff(starts, append=len(block))
    power = np.add.reduceat(np.mean(np.square(block, dtype=np.float64), axis=1), starts) / sizes
    return int(sizes[power < 10 ** (SILENCE_DBFS / 10)].sum())


def _full_scale(recording: Recording) -> float:
    """The largest positive sample that the recording's encoding can hold."""
    bits = 8 if recording.format.endswith(("_U8", "_S8")) else 16
    return 1 - 2.0 ** (1 - bits)


class _ClippingCounter:
    """Counts the samples of runs at full scale, runs that go on in the next block too."""

    def __init__(self, full_scale: float, channels: int):
        self._full_scale = full_scale
        # The last samples heard: two that await what follows them, after two that may belong to the same run.
        self._tail = np.zeros((2 * (CLIPPED_RUN - 1), channels), bool)
        self._count = 0

    def hear(self, block: np.ndarray) -> None:
        """Take in the next samples."""
        self._add(np.abs(block) >= self._full_scale)

    def count(self) -> int:
        """How many there were; nothing may be heard after it."""
        self._add(np.zeros_like(self._tail[: CLIPPED_RUN - 1]))
        return self._count

    def _add(self, full: np.ndarray) -> None:
        full = np.concatenate([self._tail, full])
        self._tail = full[-len(self._tail) :]
        if not full.any():
            return
        reach = CLIPPED_RUN - 1
        runs = np.lib.stride_tricks.sliding_window_view(full, CLIPPED_RUN, axis=0).all(axis=-1)
        # A sample counts if any run of three that it is in is full; the last two samples wait for the next block.
        member = np.lib.stride_tricks.sliding_window_view(runs, CLIPPED_RUN, axis=0).any(axis=-1)
        self._count += int(np.count_nonzero(member & full[reach:-reach]))


def _histogram(recordings: Sequence[Recording]) -> str:
    """How many recordings are how long, in words."""
    counts = Counter(int(np.searchsorted(_DURATIONS, recording.seconds, side="right")) for recording in recordings)
    borders = [format_duration(border).replace(".0 ", " ").replace(".00 ", " ") for border in _DURATIONS]
    names = [f"under {borders[0]}"]
    names += [f"{low} to {high}" for low, high in itertools.pairwise(borders)]
    names += [f"{borders[-1]} and more"]
    return ", ".join(f"{names[place]} ({counts[place]})" for place in sorted(counts))
