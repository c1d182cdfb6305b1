"""A corpus: the recordings that were found, and what was passed over and why."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_audio_vae.audio import formats, sources
from keras_audio_vae.audio.formats import printable
from keras_audio_vae.audio.headers import NotSound, SoundHeader, read_header
from keras_audio_vae.audio.scan_cache import ScanCache
from keras_audio_vae.errors import UserError

_SCAN_THREADS = 8  # a scan waits for the disk, not for the processor
_SHOWN_IN_ERROR = 5  # files that a message names; the report names all


@dataclass(frozen=True)
class Recording:
    """One source file of sound.

    Attributes:
        path: where it is.
        recording_id: its path relative to the corpus, with "/" between the parts and as `printable` writes it: the
            name that splits and reports use, and that stays the same when the corpus moves.
        decoder: which of `audio.DECODERS` reads it.
        sample_rate: Hz.
        channels: how many.
        samples: length in samples at its own rate, as much as can be read.
        split: "train", "valid" or "test" where the data set has a split of its own, else None.
        labels: what the data set says of it.
        format: container and encoding, such as "FLAC PCM_16".
        partial: why not all of the file is used, "" where all of it is.

    Example:
        >>> Recording("/a/b.wav", "b.wav", "wav16", sample_rate=8000, channels=1, samples=16000).seconds
        2.0
    """

    path: str
    recording_id: str
    decoder: str
    sample_rate: int
    channels: int
    samples: int
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    format: str = ""
    partial: str = ""

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class Skipped:
    """A file that should be sound by its name or content but cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Corpus:
    """What a scan found.

    Attributes:
        recordings: the usable ones, in the order of their paths.
        skipped: files that promise sound and cannot be used, or are used already under another name.
        other_files: how many files were met that are no sound and do not claim to be (text, pictures).
        hidden: how many files and folders were passed over because their names begin with a dot.

    Example:
        >>> corpus = Corpus((Recording("/a/b.wav", "b.wav", "wav16", 8000, 1, 16000),))
        >>> corpus.seconds
        2.0
    """

    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...] = ()
    other_files: int = 0
    hidden: int = 0

    @property
    def seconds(self) -> float:
        """Duration of all recordings together."""
        return sum(recording.seconds for recording in self.recordings)

    def report(self) -> str:
        """The corpus in a few lines: what there is, and each skipped or partly used file with its reason."""
        lines = [f"{_count(len(self.recordings), 'recording')}, {format_duration(self.seconds)}"]
        for title, of in _REPORTED:
            counts = Counter(of(recording) for recording in self.recordings)
            lines.append(f"  {title}: " + ", ".join(f"{value} ({n})" for value, n in sorted(counts.items())))
        if self.other_files:
            lines.append(f"  {_count(self.other_files, 'other file')} (no sound by name or content)")
        if self.hidden:
            lines.append(f"  {_count(self.hidden, 'hidden file or folder', 'hidden files or folders')} left out")
        return "\n".join(lines + [f"  {fault}" for fault in self.faults()])

    def faults(self) -> list[str]:
        """What is not used, a line each: partly used recordings, then skipped files."""
        partly = [
            f"partly used {_name(recording)}: {recording.partial}" for recording in self.recordings if recording.partial
        ]
        return partly + [f"skipped {printable(skipped.path)}: {skipped.reason}" for skipped in self.skipped]

    def to_json(self) -> str:
        """The whole of it as JSON text."""
        content = {"seconds": self.seconds, **asdict(self)}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        return text.encode("utf-8", "backslashreplace").decode()  # bytes of a path that are not UTF-8: JSON's \udcXX


_REPORTED: tuple[tuple[str, Callable[[Recording], object]], ...] = (
    ("sample rates (Hz)", lambda recording: recording.sample_rate),
    ("channels", lambda recording: recording.channels),
    ("formats", lambda recording: recording.format),
)


def _name(recording: Recording) -> str:
    """Where a recording is; of one that shares its file with others, as in a record store, which it is too."""
    path = printable(recording.path)
    return path if path.endswith(recording.recording_id) else f"{path}: {recording.recording_id}"


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def format_duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    Example:
        >>> format_duration(2.5), format_duration(640), format_duration(9000)
        ('2.5 s', '10.7 minutes', '2.50 hours')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.2f} hours"


def scan(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], strict: bool = False, cache: str | None = None
) -> Corpus:
    """Find the sound in a folder, a glob, a file or a list file, by content, and name what cannot be used.

    Only headers and ends are read. Folders are searched in depth, following links, but for what is hidden (its name
    begins with a dot); the order is that of the paths. A file with several names, be they links, is used once.

    Args:
        source: a folder; a glob such as "/music/**/*.flac"; a file; a list file (.txt, .list, .lst, .m3u, .m3u8: one
            path a line, relative to the list's folder, # for comments); or several of these.
        strict: make it an error if any file that should be sound is not used, or not all of it.
        cache: a folder that keeps what scans find by path, size and time of change, so that the next one is quick.

    Raises:
        UserError: nothing is there, or nothing of it is usable sound; with `strict`, not all of it is.

    Example:
        >>> import os
        >>> from keras_audio_vae import datasets
        >>> print(scan(os.path.join(os.path.dirname(datasets.__file__), "fluidnotes", "drums")).report())
        42 recordings, 48.0 s
          sample rates (Hz): 22050 (42)
          channels: 1 (42)
          formats: FLAC PCM_16 (42)
    """
    wanted = [os.fspath(source)] if isinstance(source, str | os.PathLike) else [os.fspath(item) for item in source]
    if not wanted:
        raise UserError("no sound was asked for; name a folder, a glob or a file")
    found = [sources.find(item) for item in wanted]
    root = os.path.commonpath([folder for item in found for folder in item.roots])
    named = {path for item in found for path in item.named}
    # Once each: globs may overlap.
    searched = {path for item in found for path in item.searched} - named
    hidden = {path for item in found for path in item.hidden} - named
    paths = sorted(named | searched)
    looks = zip(paths, _look_at(paths, cache), strict=True)
    results = _once_each([_sort(path, result, root, path in named) for path, result in looks])
    unreadable = [Skipped(path, reason) for item in found for path, reason in item.unreadable.items()]
    corpus = Corpus(
        recordings=tuple(result for result in results if isinstance(result, Recording)),
        skipped=(*unreadable, *(result for result in results if isinstance(result, Skipped))),
        other_files=sum(result is None for result in results),
        hidden=len(hidden),
    )
    if not corpus.recordings:
        raise UserError(_nothing_usable(wanted, corpus))
    if strict and corpus.faults():
        raise UserError(
            f"{_listed(wanted)}: not all of the sound can be used: {_first(corpus.faults())}."
            " Repair these files or move them away, or scan without --strict"
        )
    return corpus


_Result = SoundHeader | UserError  # what is known of a file: its header, or why it has none


def _look_at(paths: Sequence[str], cache: str | None) -> list[_Result]:
    """What each file is, by the cache where that still holds."""
    kept = ScanCache(cache)
    loaded = kept.load(paths).items()
    known = {path: (state, result) for path, (state, content) in loaded if (result := _from_json(content))}
    states: dict[str, tuple[int, int] | None] = {}

    def look(path: str) -> _Result:
        # Before the file is read: should it change meanwhile, what is kept is out of date and will not be used.
        states[path] = ScanCache.state(path)
        if path in known and known[path][0] == states[path]:
            return known[path][1]
        try:
            return read_header(path)
        except UserError as reason:
            return reason

    with ThreadPoolExecutor(_SCAN_THREADS) as pool:
        results = list(pool.map(look, paths))
    fresh = {}
    for path, result in zip(paths, results, strict=True):
        state = states[path]
        # What the system refused to read it may give the next time, though the file has not changed.
        refused = isinstance(result, UserError) and isinstance(result.__cause__, OSError)
        if state and not refused and known.get(path, (None,))[0] != state:
            fresh[path] = state, _to_json(result)
    kept.store(fresh)
    return results


def _to_json(result: _Result) -> object:
    if isinstance(result, SoundHeader):
        return asdict(result)
    return {"reason": str(result), "sound": not isinstance(result, NotSound)}


def _from_json(content: Any) -> _Result | None:
    """What `_to_json` wrote; None of anything else, such as a damaged cache gives."""
    try:
        if "reason" not in content:
            return SoundHeader(**content)
        return UserError(content["reason"]) if content["sound"] else NotSound(content["reason"])
    except (TypeError, KeyError):
        return None


def _sort(path: str, result: _Result, root: str, is_named: bool) -> Recording | Skipped | None:
    """A recording, a skipped file, or None for a file that neither is nor claims to be sound."""
    if isinstance(result, NotSound) and not is_named and not formats.named_as_sound(path):
        return None
    if isinstance(result, UserError):
        return Skipped(path, str(result))
    recording_id = printable(os.path.relpath(path, root)).replace(os.sep, "/")
    return Recording(path, recording_id, **asdict(result))


def _once_each(results: Sequence[Recording | Skipped | None]) -> list[Recording | Skipped | None]:
    """Of recordings that are one file by several names all but one skipped: they might come to lie in two splits."""
    files = {result.path: _identity(result.path) for result in results if isinstance(result, Recording)}
    kept: dict[object, str] = {}
    for path in sorted(files, key=os.path.islink):  # the file itself before links to it, else the first name
        kept.setdefault(files[path], path)

    def once(result: Recording | Skipped | None) -> Recording | Skipped | None:
        name = kept[files[result.path]] if isinstance(result, Recording) else ""
        if not isinstance(result, Recording) or name == result.path:
            return result
        return Skipped(result.path, f"the same file as {printable(name)}")

    return [once(result) for result in results]


def _identity(path: str) -> object:
    """What is equal for two names of one file."""
    try:
        status = os.stat(path)
    except OSError:  # it vanished just now; whoever reads it will say so
        return path
    return status.st_dev, status.st_ino


def _listed(wanted: Sequence[str]) -> str:
    return ", ".join(map(printable, wanted))


def _first(lines: Sequence[str]) -> str:
    """The first of many, in one line."""
    more = len(lines) - _SHOWN_IN_ERROR
    return "; ".join(lines[:_SHOWN_IN_ERROR]) + (f"; and {more} more" if more > 0 else "")


def _nothing_usable(wanted: Sequence[str], corpus: Corpus) -> str:
    """The message of a scan that found nothing, in one line."""
    looked_at = _count(len(corpus.skipped) + corpus.other_files, "file")
    if corpus.hidden:
        looked_at += f" ({corpus.hidden} more hidden)"
    reasons = f". Of these, {_first(corpus.faults())}" if corpus.skipped else ""
    return f"{_listed(wanted)}: no usable sound among {looked_at}; supported are {formats.SUPPORTED_FORMATS}{reasons}"
