"""Train, valid and test: by recording, the same on every machine."""

import hashlib
from dataclasses import replace

from keras_audio_vae.audio import Corpus, Recording

SPLITS: tuple[str, ...] = ("train", "valid", "test")
_FEWEST_TO_SPLIT = 3  # recordings; with fewer, a split would leave nothing worth training on


def split(corpus: Corpus, valid_fraction: float = 0.1, test_fraction: float = 0.1) -> dict[str, Corpus]:
    """Divide a corpus by recording, so that no recording has chunks on both sides.

    Recordings that carry a split of their own keep it. The others are placed by a digest of their id alone: without a
    seed, and whatever else the corpus holds, so that a corpus that grows keeps its splits. The fractions are of the
    number of recordings, and hold on average.

    Small corpora are the exception. From three recordings up, a split that was asked for and would be empty gets the
    recording that the digest puts nearest to it. One or two recordings are all trained on; valid and test are then
    empty, and what is measured is measured on the training recordings (see `evaluation_part`).

    Args:
        corpus: the recordings; its skipped files and other files are not carried over.
        valid_fraction: share of the recordings to watch while training, 0 to 1; 0 for none.
        test_fraction: share of the recordings to measure on at the end, 0 to 1; 0 for none.

    Returns:
        The corpora "train", "valid" and "test", each in the order of the whole.

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
    placed = {recording.recording_id: recording.split for recording in corpus.recordings if recording.split}
    free = [recording.recording_id for recording in corpus.recordings if not recording.split]
    placed.update(_by_digest(free, valid_fraction, test_fraction, fill=not placed))
    strange = sorted(set(placed.values()) - set(SPLITS))
    if strange:
        raise ValueError(f"a recording's split must be one of {', '.join(SPLITS)}; got {', '.join(map(str, strange))}")

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
