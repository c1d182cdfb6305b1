import dataclasses
import json
import math
import os

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from keras_audio_vae import audio
from keras_audio_vae.audio import Corpus
from keras_audio_vae.audio.levels import measure
from keras_audio_vae.datasets import records, store
from keras_audio_vae.errors import UserError

RATE = 8000


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Recordings by name, float32 [samples, 2]: 16 bits, more than a piece, above full scale, faint, silent."""
    folder = tmp_path_factory.mktemp("sound")
    random = np.random.default_rng(0)
    noise = random.uniform(-0.4, 0.4, size=(61 * RATE, 2)).astype(np.float32)
    sounds = {
        "deep/long.flac": (noise, "PCM_16"),
        "exact.wav": (np.float32([[0.5, -0.5], [-1, 0.25]] * 400), "PCM_16"),
        "faint.wav": (noise[:1000] * 1e-3, "FLOAT"),
        "loud.wav": (noise[:1000] * 9, "FLOAT"),
        "silent.wav": (np.zeros((500, 2), np.float32), "PCM_16"),
    }
    (folder / "deep").mkdir()
    for name, (waveform, subtype) in sounds.items():
        soundfile.write(folder / name, waveform, RATE, subtype=subtype)
    return folder


@pytest.fixture(scope="module")
def corpus(sound):
    recordings = audio.scan(sound).recordings
    return Corpus(
        tuple(dataclasses.replace(one, split="train", labels={"name": one.recording_id}) for one in recordings)
    )


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    store.write_store(corpus, path, store.StoreSettings(RATE, 2), shards=2, writer="processes", workers=1)
    return path


def decoded(recording):
    return soundfile.read(recording.path, dtype="float32", always_2d=True)[0]


def test_a_store_is_the_corpus_it_was_made_of(folder, corpus):
    loaded = records.load_store(folder)
    for there, was in zip(loaded.recordings, corpus.recordings, strict=True):
        assert (there.recording_id, there.samples, there.split, there.labels) == (
            was.recording_id,
            was.samples,
            was.split,
            was.labels,
        )
        assert there.decoder == records.DECODER and there.format == f"records of {was.format}"
        assert (there.sample_rate, there.channels) == (RATE, 2)
    assert "records of FLAC PCM_16" in loaded.report()


def test_sixteen_bits_are_kept_exactly_and_floats_to_half_a_step(folder, corpus):
    for there, was in zip(records.load_store(folder).recordings, corpus.recordings, strict=True):
        expected = decoded(was)
        with records.RecordStream(there) as stream:
            waveform = stream.read(0, there.samples)
        assert waveform.dtype == np.float32
        peak = np.abs(expected).max()
        tolerance = 0 if was.format.endswith("PCM_16") else max(2 * peak, 2**-8) / 65536
        assert np.abs(waveform - expected).max() <= tolerance


@given(data=st.data())
def test_any_stretch_is_that_of_the_whole(folder, data):
    recording = next(one for one in records.load_store(folder).recordings if one.recording_id == "deep/long.flac")
    start = data.draw(st.integers(60 * RATE - 50, 60 * RATE + 50) | st.integers(0, recording.samples))
    count = data.draw(st.integers(0, min(100, recording.samples - start)))
    with records.RecordStream(recording) as stream:
        whole = stream.read(0, recording.samples)
        np.testing.assert_array_equal(stream.read(start, count), whole[start : start + count])


def test_a_stretch_outside_of_the_recording_is_a_mistake(folder):
    recording = records.load_store(folder).recordings[1]
    with records.RecordStream(recording) as stream:
        for start, count in [(-1, 5), (recording.samples, 1), (0, recording.samples + 1)]:
            with pytest.raises(ValueError, match=r"samples"):
                stream.read(start, count)


def test_levels_are_those_of_the_recording(folder, corpus):
    for there, was in zip(records.load_store(folder).recordings, corpus.recordings, strict=True):
        expected = measure([decoded(was)], RATE)
        levels = records.levels(there)
        assert levels.peak == expected.peak and levels.rms == pytest.approx(expected.rms)
        assert levels.loudness == pytest.approx(expected.loudness) or math.isinf(expected.loudness)
    assert "silent" in there.recording_id and levels.loudness == -math.inf


@pytest.fixture
def copy(folder, tmp_path):
    """A store to be damaged."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    records.verify(tmp_path)
    return tmp_path


def test_damage_is_an_error_that_names_the_file(copy):
    shard = copy / "shard-00001-of-00002.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"?")
    records.load_store(copy)  # reading every byte is left to `verify`
    with pytest.raises(UserError, match=r"shard-00001-of-00002.tfrecord was changed"):
        records.verify(copy)
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"shard-00001-of-00002.tfrecord has"):
        records.load_store(copy)
    shard.unlink()
    with pytest.raises(UserError, match=r"lacks shard-00001-of-00002.tfrecord"):
        records.load_store(copy)
    with pytest.raises(UserError, match=r"shard-00001-of-00002.tfrecord is missing"):
        records.verify(copy)


def test_a_shard_that_shrinks_or_vanishes_while_it_is_read_is_an_error(copy):
    recording = next(one for one in records.load_store(copy).recordings if one.recording_id == "deep/long.flac")
    with records.RecordStream(recording) as stream:
        os.truncate(recording.path, 1000)
        with pytest.raises(UserError, match=r"shorter than when"):
            stream.read(recording.samples - 10, 10)
    os.unlink(recording.path)
    with pytest.raises(UserError, match=r"cannot be opened any more"):
        records.RecordStream(recording)


def test_manifests_of_other_things_and_times(copy, tmp_path_factory):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
    with pytest.raises(UserError, match=r"version 2, and this package reads version 1"):
        records.load_store(copy)
    assert records.is_store(copy)
    for content, said in [('{"format": "other"}', "something else"), ("[]", "something else"), ("{", "cannot be read")]:
        (copy / "manifest.json").write_text(content)
        assert not records.is_store(copy)
        with pytest.raises(UserError, match=said):
            records.load_store(copy)
    with pytest.raises(UserError, match=r"no record store"):
        records.load_store(tmp_path_factory.mktemp("empty"))


def test_a_store_that_was_replaced_is_noticed(copy, corpus):
    recording = records.load_store(copy).recordings[0]
    for file in copy.iterdir():
        file.unlink()
    few = Corpus(corpus.recordings[1:2])
    store.write_store(few, copy, store.StoreSettings(RATE, 2), shards=1, writer="processes", workers=1)
    with pytest.raises(UserError, match=r"has no 'deep/long.flac'"):
        records.RecordStream(recording)
