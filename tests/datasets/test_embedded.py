import os
from collections import Counter

import pytest

from keras_audio_vae.datasets import embedded, load, split
from keras_audio_vae.errors import UserError


@pytest.fixture(scope="module")
def fluidnotes():
    return load("fluidnotes")


def test_all_recordings_are_there_with_splits_and_labels(fluidnotes):
    assert len(fluidnotes.recordings) == 305 and not fluidnotes.skipped
    assert fluidnotes.seconds / 60 == pytest.approx(10.7, abs=0.05)
    assert Counter(recording.split for recording in fluidnotes.recordings) == {"train": 227, "valid": 37, "test": 41}
    for recording in fluidnotes.recordings:
        assert recording.seconds == pytest.approx(float(recording.labels["seconds"]), abs=1e-4)
        assert (recording.sample_rate, recording.channels, recording.decoder) == (22050, 1, "flac16")
    note = next(r for r in fluidnotes.recordings if r.recording_id == "notes/accordion_p053_v112.flac")
    assert (note.labels["instrument"], note.labels["pitch_midi"], note.labels["kind"]) == ("accordion", "53", "note")


def test_its_own_split_holds_no_pitch_twice(fluidnotes):
    pitches = {
        name: {
            (r.labels["instrument"], r.labels["program"], r.labels["pitch_midi"])
            for r in part.recordings
            if r.labels["pitch_midi"]
        }
        for name, part in split(fluidnotes).items()
    }
    assert not pitches["train"] & pitches["test"] and not pitches["train"] & pitches["valid"]


def test_licence_and_provenance_come_along():
    folder = os.path.join(os.path.dirname(embedded.__file__), "fluidnotes")
    assert {"LICENSE", "PROVENANCE.json", "README.md", "labels.csv"} <= set(os.listdir(folder))


def test_a_name_that_is_neither_lists_the_embedded_sets():
    with pytest.raises(UserError, match=r"fluidnots: there is no such.*embedded data sets: fluidnotes"):
        load("fluidnots")
