"""Train, valid and test: by recording, the same on every machine."""

import csv
import hashlib
import os
from dataclasses import replace

from keras_audio_vae.audio import Corpus, Recording, printable
from keras_audio_vae.errors import UserError

SPLITS: tuple[str, ...] = ("train", "valid", "test")
_FOLDERS = {
    **{"train": "train", "training": "train"},
    **{"valid": "valid", "validation": "valid", "val": "valid", "dev": "valid"},
    **{"test": "test", "testing": "test", "eval": "test"},
}
_FEWEST_TO_SPLIT = 3  # recordings; with fewer, a split would leave nothing worth training on


def split(
    corpus: Corpus, valid_fraction: float = 0.1, test_fraction: float = 0.1, by: str = "digest"
) -> dict[str, Corpus]:
    """Divide a corpus by recording, so that no recording has chunks on both sides.

    - "digest": recordings that carry a split of their own keep it. The others are placed by a digest of their id
      alone: without a seed, and whatever else the corpus holds, so that a corpus that grows keeps its splits. The
      fractions are of the number of recordings, and hold on average.
    - "folder": what lies in a folder named train, valid or test (or validation, val, dev; eval) goes there. In a corpus
      without such folders every folder stays together, be it a session, a speaker or an album: it is placed by the
      digest of its name.
    - a CSV file with the columns `file` (path relative to the corpus) and `split`.

    Small corpora are the exception. From three recordings (or folders) up, a split that was asked for and would be
    empty gets the one that the digest puts nearest to it. One or two are all trained on; valid and test are then
    empty, and what is measured is measured on the training recordings (see `evaluation_part`).

    Args:
        corpus: the recordings; its skipped files and other files are not carried over.
        valid_fraction: share of the recordings to watch while training, 0 to 1; 0 for none.
        test_fraction: share of the recordings to measure on at the end, 0 to 1; 0 for none.
        by: "digest", "folder", or the path of a CSV file.

    Returns:
        The corpora "train", "valid" and "test", each in the order of the whole.

    Raises:
        UserError: the folders or the CSV file leave a recording without a split.

    Example:
        >>> from keras_audio_vae import datasets
        >>> {name: len(part.recordings) for name, part in split(datasets.load("fluidnotes")).items()}
        {'train': 227, 'valid': 37, 'test': 41}
    """
    if min(valid_fraction, test_fraction) < 0 or valid_fraction + test_fraction >= 1:
        raise ValueError(
            "valid_fraction and test_fraction must be at least 0 and leave a share to train on;"
            f" got {valid_fraction} and {test_fraction}"
        )
    ids = [recording.recording_id for recording in corpus.recordings]
    if by == "folder":
        placed = _by_folder(ids, valid_fraction, test_fraction)
    elif by == "digest":
        placed = {recording.recording_id: recording.split for recording in corpus.recordings if recording.split}
        free = [name for name in ids if name not in placed]
        placed.update(_by_digest(free, valid_fraction, test_fraction, fill=not placed))
    elif by.lower().endswith(".csv"):
        placed = _by_table(ids, by)
    else:
        raise ValueError(f"split_by must be digest, folder or a CSV file; got {by!r}")
    strange = sorted({str(name) for name in placed.values()} - set(SPLITS))
    if strange:
        raise UserError(f"a recording's split must be one of {', '.join(SPLITS)}; got {', '.join(strange)}")

    def part(name: str) -> tuple[Recording, ...]:
        return tuple(
            replace(recording, split=name) for recording in corpus.recordings if placed[recording.recording_id] == name
        )

    return {name: Corpus(part(name)) for name in SPLITS}


def evaluation_part(parts: dict[str, Corpus]) -> tuple[str, Corpus]:
    """The split to measure on: test, or else valid, or else, for want of any other, train.

    Args:
        parts: what `split` returned.

    Returns:
        The split's name, which belongs beside every figure, and its recordings.

    Example:
        >>> few = Corpus((Recording("/a.wav", "a.wav", "wav16", 8000, 1, 16000),))
        >>> evaluation_part(split(few))[0]
        'train'
    """
    name = next((name for name in ("test", "valid") if parts[name].recordings), "train")
    return name, parts[name]


def digest(recording_id: str) -> float:
    """A recording's place between 0 and 1, from its id alone.

    Example:
        >>> digest("a.wav")
        0.735119...
    """
    return int.from_bytes(hashlib.sha256(recording_id.encode()).digest()[:6], "big") / 2**48


def _by_digest(ids: list[str], valid_fraction: float, test_fraction: float, fill: bool) -> dict[str, str]:
    """Each id's split: test from 0 up, then valid, then train; with `fill`, none that is wanted stays empty."""
    if len(ids) < _FEWEST_TO_SPLIT and fill:
        return dict.fromkeys(ids, "train")
    ordered = sorted(ids, key=digest)
    tests = sum(digest(name) < test_fraction for name in ordered)
    held_out = sum(digest(name) < test_fraction + valid_fraction for name in ordered)
    if fill:
        # In this order of the digest the splits are three stretches: it is enough to move their two borders.
        wants_test, wants_valid = test_fraction > 0, valid_fraction > 0
        tests = min(max(tests, wants_test), len(ordered) - 1 - wants_valid)
        held_out = min(max(held_out, tests + wants_valid), len(ordered) - 1)
    names = ["test"] * tests + ["valid"] * (held_out - tests) + ["train"] * (len(ordered) - held_out)
    return dict(zip(ordered, names, strict=True))


def _by_folder(ids: list[str], valid_fraction: float, test_fraction: float) -> dict[str, str]:
    """Each id's split by the folders that are named for splits, or else whole folders by digest."""
    named = {name: [_FOLDERS[part] for part in name.lower().split("/")[:-1] if part in _FOLDERS] for name in ids}
    if any(named.values()):
        return {
            name: _required(name, found[:1], "lies in no folder named train, valid or test")
            for name, found in named.items()
        }
    folder = {name: name.rpartition("/")[0] for name in ids}
    placed = _by_digest(sorted(set(folder.values())), valid_fraction, test_fraction, fill=True)
    return {name: placed[folder[name]] for name in ids}


def _by_table(ids: list[str], path: str) -> dict[str, str]:
    """Each id's split by a CSV file."""
    try:
        with open(os.path.expanduser(path), newline="", encoding="utf-8-sig") as file:
            table = {row["file"]: row["split"].strip() for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: the splits cannot be read ({error})") from error
    except (KeyError, AttributeError) as error:
        raise UserError(f"{path}: the table of splits must have the columns file and split") from error
    return {name: _required(name, [table[name]] if name in table else [], f"is not in {path}") for name in ids}


def _required(name: str, found: list[str], otherwise: str) -> str:
    if not found:
        raise UserError(f"{printable(name)} {otherwise}, so it has no split")
    return found[0]
