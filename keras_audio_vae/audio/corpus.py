"""A corpus: the recordings that were found, and what was passed over and why."""

import glob
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from keras_audio_vae.audio import formats
from keras_audio_vae.audio.decoding import read_header
from keras_audio_vae.errors import UserError

_SCAN_THREADS = 8  # a scan waits for the disk, not for the processor
_SHOWN_IN_ERROR = 5  # skipped files that the message of an empty corpus names; the report names all


@dataclass(frozen=True)
class Recording:
    """One source file of sound.

    Attributes:
        path: where it is.
        recording_id: its path relative to the corpus, with "/" between the parts: the name that splits and reports
            use, and that stays the same when the corpus moves.
        decoder: which of `audio.DECODERS` reads it.
        sample_rate: Hz.
        channels: how many.
        samples: length in samples at its own rate.
        split: "train", "valid" or "test" where the data set has a split of its own, else None.
        labels: what the data set says of it.
        format: container and encoding, such as "FLAC PCM_16".
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
        skipped: files that promise sound and cannot be used.
        other_files: how many files were met that are no sound and do not claim to be (text, pictures, hidden files).

    Example:
        >>> corpus = Corpus((Recording("/a/b.wav", "b.wav", "wav16", 8000, 1, 16000),))
        >>> corpus.seconds
        2.0
    """

    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...] = ()
    other_files: int = 0

    @property
    def seconds(self) -> float:
        """Duration of all recordings together."""
        return sum(recording.seconds for recording in self.recordings)

    def report(self) -> str:
        """The corpus in a few lines: what there is, and each skipped file with its reason."""
        lines = [f"{_count(len(self.recordings), 'recording')}, {format_duration(self.seconds)}"]
        for title, of in _REPORTED:
            counts = Counter(of(recording) for recording in self.recordings)
            lines.append(f"  {title}: " + ", ".join(f"{value} ({n})" for value, n in sorted(counts.items())))
        if self.other_files:
            lines.append(f"  {_count(self.other_files, 'other file')} (no sound by name or content)")
        lines += [f"  skipped {skipped.path}: {skipped.reason}" for skipped in self.skipped]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The whole of it as JSON text."""
        content = {"seconds": self.seconds, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


_REPORTED: tuple[tuple[str, Callable[[Recording], object]], ...] = (
    ("sample rates (Hz)", lambda recording: recording.sample_rate),
    ("channels", lambda recording: recording.channels),
    ("formats", lambda recording: recording.format),
)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    Example:
        >>> format_duration(2.5), format_duration(640), format_duration(9000)
        ('2.5 s', '10.7 minutes', '2.50 hours')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:.2f} hours"


def scan(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Corpus:
    """Find the sound in a folder, a glob or a file, by content, and name what cannot be used.

    Only headers are read. Folders are searched in depth, following links; the order is that of the paths.

    Args:
        source: a folder, a glob such as "/music/**/*.flac", a file, or several of these.

    Raises:
        UserError: nothing is there, or nothing of it is usable sound.

    Example:
        >>> import os
        >>> from keras_audio_vae import datasets
        >>> print(scan(os.path.join(os.path.dirname(datasets.__file__), "fluidnotes", "drums")).report())
        42 recordings, 48.0 s
          sample rates (Hz): 22050 (42)
          channels: 1 (42)
          formats: FLAC PCM_16 (42)
    """
    sources = [os.fspath(source)] if isinstance(source, str | os.PathLike) else [os.fspath(item) for item in source]
    if not sources:
        raise UserError("no sound was asked for; name a folder, a glob or a file")
    found = [_expand(item) for item in sources]
    root = os.path.commonpath([os.path.abspath(folder) for folder, _ in found])
    # Absolute paths, once each: globs may overlap.
    paths = sorted({os.path.abspath(path) for _, files in found for path in files})
    with ThreadPoolExecutor(_SCAN_THREADS) as pool:
        results = list(pool.map(lambda path: _look_at(path, root), paths))
    corpus = Corpus(
        recordings=tuple(result for result in results if isinstance(result, Recording)),
        skipped=tuple(result for result in results if isinstance(result, Skipped)),
        other_files=sum(result is None for result in results),
    )
    if not corpus.recordings:
        raise UserError(_nothing_usable(sources, corpus))
    return corpus


def _expand(source: str) -> tuple[str, Iterable[str]]:
    """The folder that recording ids are relative to, and the files."""
    expanded = os.path.expanduser(source)
    if os.path.isfile(expanded):
        return os.path.dirname(os.path.abspath(expanded)), [expanded]
    if os.path.isdir(expanded):
        return expanded, _walk(expanded)
    if not glob.has_magic(expanded):
        raise UserError(f"{source}: there is no such file or folder; check the spelling, or give an absolute path")
    fixed = expanded[: min(expanded.find(sign) for sign in "*?[" if sign in expanded)]
    matches = glob.glob(expanded, recursive=True)
    if not matches:
        raise UserError(f"{source}: no file matches this pattern")
    files = [file for match in matches for file in ([match] if os.path.isfile(match) else _walk(match))]
    return os.path.dirname(fixed) or ".", files


def _walk(folder: str) -> Iterator[str]:
    """All files below a folder, through links too, but no folder twice: links may form a ring."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in files)


def _look_at(path: str, root: str) -> Recording | Skipped | None:
    """A recording, a skipped file, or None for a file that neither is nor claims to be sound."""
    claims = formats.named_as_sound(path)
    if not claims and not _sounds_by_content(path):
        return None
    try:
        header = read_header(path)
    except UserError as reason:
        return Skipped(path, str(reason))
    recording_id = os.path.relpath(path, root).replace(os.sep, "/")
    return Recording(
        path, recording_id, header.decoder, header.sample_rate, header.channels, header.samples, format=header.format
    )


def _sounds_by_content(path: str) -> bool:
    """Whether a visible file without an audio name begins as sound does."""
    if os.path.basename(path).startswith("."):
        return False
    try:
        with open(path, "rb") as file:
            return formats.sniff(file.read(formats.HEAD_BYTES)) is not None
    except OSError:
        return False


def _nothing_usable(sources: Sequence[str], corpus: Corpus) -> str:
    """The message of a scan that found nothing, in one line."""
    looked_at = _count(len(corpus.skipped) + corpus.other_files, "file")
    reasons = "; ".join(f"{skipped.path}: {skipped.reason}" for skipped in corpus.skipped[:_SHOWN_IN_ERROR])
    more = len(corpus.skipped) - _SHOWN_IN_ERROR
    return (
        f"{', '.join(sources)}: no usable sound among {looked_at}; supported are {formats.SUPPORTED_FORMATS}"
        + (f". Skipped: {reasons}" if reasons else "")
        + (f"; and {more} more" if more > 0 else "")
    )
