"""A corpus from what the user names: embedded recordings, sound files or a record store."""

import csv
import os
from dataclasses import replace

from keras_audio_vae.audio import Corpus, scan
from keras_audio_vae.datasets import records
from keras_audio_vae.errors import UserError

EMBEDDED: tuple[str, ...] = ("fluidnotes",)


def load(source: str, *, strict: bool = False, cache: str | None = None) -> Corpus:
    """An embedded data set by its name, a record store, or whatever `audio.scan` finds at a folder, glob or file.

    "fluidnotes" is 305 recordings of 28 instruments and 6 drum kits, 10.7 minutes, 22,050 Hz, mono, with a split of
    its own by instrument and pitch, and labels: instrument, family, pitch_midi, velocity, kind and more, as text (its
    README.md tells what each means). A folder of that name in the working directory is "./fluidnotes".

    Args:
        source: "fluidnotes", or a folder, a glob, a file, a list file or a record store of one's own.
        strict: see `audio.scan`.
        cache: see `audio.scan`.

    Raises:
        UserError: there is no such data set and no such file, or no usable sound.

    Example:
        >>> corpus = load("fluidnotes")
        >>> len(corpus.recordings), corpus.recordings[0].split, corpus.recordings[0].labels["instrument"]
        (305, 'test', 'brush_slap')
    """
    if source in EMBEDDED:
        return _load_labelled(os.path.join(os.path.dirname(os.path.abspath(__file__)), source))
    folder = os.path.expanduser(source)
    if records.is_store(folder):
        corpus = records.load_store(folder)
        if strict and corpus.faults():
            raise UserError(f"{source}: {corpus.faults()[0]} (and all else that its manifest names)")
        return corpus
    try:
        return scan(source, strict=strict, cache=cache)
    except UserError as error:
        if os.path.basename(source) != source:
            raise
        raise UserError(f"{error} (embedded data sets: {', '.join(EMBEDDED)})") from error


def _load_labelled(folder: str) -> Corpus:
    """The recordings that a folder's labels.csv lists, with their splits and labels."""
    with open(os.path.join(folder, "labels.csv"), newline="", encoding="utf-8") as file:
        rows = {row.pop("file"): row for row in csv.DictReader(file)}
    corpus = scan(folder)
    recordings = tuple(
        replace(recording, split=rows[recording.recording_id].pop("split"), labels=rows[recording.recording_id])
        for recording in corpus.recordings
    )
    return Corpus(recordings)
