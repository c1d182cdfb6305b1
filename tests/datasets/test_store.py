import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_audio_vae import audio, datasets
from keras_audio_vae.audio import Corpus
from keras_audio_vae.datasets import records, store
from keras_audio_vae.datasets.store import shards as shard_writer
from keras_audio_vae.datasets.store import write
from keras_audio_vae.datasets.store.plan import plan_shards
from keras_audio_vae.errors import UserError

ROOT = Path(__file__).parents[2]
SETTINGS = store.StoreSettings(8000, 1, {"valid_fraction": 0.25})


def make_sound(folder, count=8, rate=8000):
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", random.uniform(-0.5, 0.5, size=1000 * (number + 1)), rate)
    return folder


def scan(folder):
    parts = datasets.split(audio.scan(folder), 0.25, 0.25)
    recordings = [recording for part in parts.values() for recording in part.recordings]
    return Corpus(tuple(sorted(recordings, key=lambda recording: recording.path)))


@pytest.fixture
def corpus(tmp_path):
    return scan(make_sound(tmp_path / "sound"))


def make_store(corpus, folder, settings=SETTINGS, **options):
    lines: list[str] = []
    options = {"shards": 3, "writer": "processes", "workers": 1, "tell": lines.append, **options}
    return store.write_store(corpus, folder, settings, **options), lines


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@given(hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-8, 8, width=32)))
def test_integers_come_back_within_half_a_step(waveform):
    peak = float(np.abs(waveform).max())
    scale = shard_writer.scale_for(peak)
    restored = shard_writer.to_integers(waveform, scale) * np.float32(scale / 32768)
    assert np.log2(scale).is_integer() and scale <= max(2 * peak, 2**-8)
    # The one step that +1.0 itself is too high for 16 bits.
    np.testing.assert_array_less(
        np.abs(restored - waveform), scale / 65536 * (1 + 1e-6) + scale / 32768 * (waveform == scale)
    )


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_sixteen_bit_sound_is_stored_exactly(integers):
    waveform = np.float32(integers) / 32768
    scale = shard_writer.scale_for(float(np.abs(waveform).max()))
    np.testing.assert_array_equal(shard_writer.to_integers(waveform, scale) * np.float32(scale / 32768), waveform)


def test_shards_are_balanced_and_hold_each_recording_once(corpus):
    plans = plan_shards(corpus, SETTINGS, shards=3)
    names = [source.recording.recording_id for plan in plans for source in plan.sources]
    assert sorted(names) == [recording.recording_id for recording in corpus.recordings]
    loads = [sum(source.recording.samples for source in plan.sources) for plan in plans]
    assert max(loads) - min(loads) <= 2000
    assert len(plan_shards(corpus, SETTINGS, shards=100)) == 8 and len(plan_shards(corpus, SETTINGS)) == 1


def test_shards_are_records_that_tensorflow_reads(corpus, tmp_path):
    manifest, _ = make_store(corpus, tmp_path / "store", store.StoreSettings(4000, 2))
    features = {
        "audio": tf.io.FixedLenFeature([], tf.string),
        "sample_rate": tf.io.FixedLenFeature([], tf.int64),
        "channels": tf.io.FixedLenFeature([], tf.int64),
        "recording_id": tf.io.FixedLenFeature([], tf.string),
        "offset": tf.io.FixedLenFeature([], tf.int64),
        "split": tf.io.FixedLenFeature([], tf.string),
        "scale": tf.io.FixedLenFeature([], tf.float32),
    }
    loaded = {recording.recording_id: recording for recording in records.load_store(tmp_path / "store").recordings}
    files = [str(tmp_path / "store" / shard["file"]) for shard in manifest["shards"]]
    seen = []
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        example = {name: value.numpy() for name, value in tf.io.parse_single_example(record, features).items()}
        recording = loaded[example["recording_id"].decode()]
        seen.append(recording.recording_id)
        assert (example["sample_rate"], example["channels"], example["offset"]) == (4000, 2, 0)
        assert example["split"].decode() == recording.split
        integers = np.frombuffer(example["audio"], "<i2").reshape(-1, 2)
        with records.RecordStream(recording) as stream:
            np.testing.assert_array_equal(integers * (example["scale"] / 32768), stream.read(0, recording.samples))
    assert sorted(seen) == sorted(loaded) and manifest["counts"]["records"] == 8
    assert manifest["counts"]["samples"] == sum(recording.samples for recording in loaded.values()) == 18000


def test_the_bytes_are_the_same_whoever_writes_them(corpus, tmp_path):
    make_store(corpus, tmp_path / "alone")
    expected = content_of(tmp_path / "alone")
    for name, options in {
        "processes": {"workers": 2},
        "beam": {"writer": "beam"},
        "threads": {"writer": "beam", "workers": 2},
        "given": {"writer": "auto", "beam_options": "--runner=FnApiRunner --direct_num_workers=1"},
    }.items():
        make_store(corpus, tmp_path / name, **options)
        assert content_of(tmp_path / name) == expected


def test_an_interrupted_run_leaves_no_store_and_the_next_finishes_it(corpus, tmp_path, monkeypatch):
    make_store(corpus, tmp_path / "unbroken")
    calls = []

    def interrupted(plan, folder):
        calls.append(plan)
        if len(calls) == 2:
            raise KeyboardInterrupt
        shard_writer.write_shard(plan, folder)

    folder = tmp_path / "store"
    monkeypatch.setattr("keras_audio_vae.datasets.store.runners.write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_store(corpus, folder)
    assert records.is_store(folder)
    with pytest.raises(UserError, match=r"not finished; run the same trainers.prepare again"):
        records.load_store(folder)
    kept = (folder / calls[0].file).stat().st_mtime_ns
    _, lines = make_store(corpus, folder)
    assert lines[0] == "1 of 3 shards are there from a former run" and len(calls) == 4
    assert (folder / calls[0].file).stat().st_mtime_ns == kept
    assert content_of(folder) == content_of(tmp_path / "unbroken")


def test_a_shard_that_was_cut_or_planned_otherwise_is_written_anew(corpus, tmp_path, monkeypatch):
    make_store(corpus, tmp_path / "unbroken")
    with monkeypatch.context() as patched:
        patched.setattr(write, "_finish", lambda *_: {})
        make_store(corpus, tmp_path / "store")
        make_store(corpus, tmp_path / "store", shards=2)
    os.truncate(tmp_path / "store" / "shard-00001-of-00003.tfrecord", 100)
    _, lines = make_store(corpus, tmp_path / "store")
    assert lines[0].startswith("2 of 3 shards")
    assert content_of(tmp_path / "store") == content_of(tmp_path / "unbroken")


def test_a_killed_run_takes_its_processes_along(tmp_path):
    make_sound(tmp_path / "sound", count=40)
    folder = tmp_path / "store"
    arguments = [f"--data={tmp_path / 'sound'}", f"--output={folder}", "--shards=40", "--sample_rate=8000"]
    command = [sys.executable, "-m", "trainers.prepare", *arguments, "--writer=processes", "--workers=2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or list(folder.glob("shard-*")))
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    wait_until(lambda: not any(Path(f"/proc/{worker}/exe").exists() for worker in workers))
    with pytest.raises(UserError, match="not finished"):
        records.load_store(folder)


def wait_until(happened, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_finished_store_is_left_alone(corpus, tmp_path):
    manifest, _ = make_store(corpus, tmp_path / "store")
    before = {file: os.stat(tmp_path / "store" / file).st_mtime_ns for file in content_of(tmp_path / "store")}
    again, lines = make_store(corpus, tmp_path / "store", shards=0)
    assert again == manifest and lines == [f"{tmp_path / 'store'}: this record store is already there"]
    assert before == {file: os.stat(tmp_path / "store" / file).st_mtime_ns for file in content_of(tmp_path / "store")}


def test_another_store_is_refused_with_the_difference(corpus, tmp_path):
    folder = tmp_path / "store"
    make_store(corpus, folder)
    other = store.StoreSettings(16000, 1, {"valid_fraction": 0.1})
    with pytest.raises(
        UserError, match=r"sample_rate is 8000 there and 16000 now; valid_fraction is 0.25 there and 0.1"
    ):
        make_store(corpus, folder, other)
    with pytest.raises(UserError, match="shards are 3 there and 2 now"):
        make_store(corpus, folder, shards=2)
    os.utime(corpus.recordings[0].path, ns=(0, 0))
    (tmp_path / "sound" / "7.wav").rename(tmp_path / "sound" / "8.wav")
    changed = Corpus(
        (
            *corpus.recordings[:-1],
            dataclasses.replace(corpus.recordings[-1], path=str(tmp_path / "sound" / "8.wav"), recording_id="8.wav"),
        )
    )
    expected = r"new recordings: 1 \(8.wav\); gone recordings: 1 \(7.wav\); changed recordings: 1 \(0.wav\)"
    with pytest.raises(UserError, match=expected):
        make_store(changed, folder)


def test_a_corpus_that_moved_is_the_same(corpus, tmp_path):
    make_store(corpus, tmp_path / "store")
    (tmp_path / "sound").rename(tmp_path / "moved")
    _, lines = make_store(scan(tmp_path / "moved"), tmp_path / "store")
    assert "already there" in lines[0]


def test_what_cannot_be_read_is_left_out_and_named(corpus, tmp_path):
    os.unlink(corpus.recordings[2].path)
    os.truncate(corpus.recordings[5].path, 3000)
    with pytest.raises(UserError, match=r"1 of 8 recordings cannot be read: .*2\.wav"):
        make_store(corpus, tmp_path / "store", strict=True)
    manifest, lines = make_store(corpus, tmp_path / "store")
    assert lines == ["3 of 3 shards are there from a former run"]
    assert [entry["path"] for entry in manifest["skipped"]] == [corpus.recordings[2].path]
    assert not any(entry["reason"].startswith(entry["path"]) for entry in manifest["skipped"])
    loaded = records.load_store(tmp_path / "store")
    assert [one.recording_id for one in loaded.recordings] == [f"{n}.wav" for n in (0, 1, 3, 4, 5, 6, 7)]
    assert len(loaded.skipped) == 1
    [shortened] = [one for one in loaded.recordings if one.partial]
    assert shortened.recording_id == "5.wav" and shortened.samples < corpus.recordings[5].samples
    _, lines = make_store(corpus, tmp_path / "store")
    assert "already there" in lines[0]


def test_a_corpus_of_which_nothing_can_be_read_is_an_error(corpus, tmp_path):
    for recording in corpus.recordings:
        os.unlink(recording.path)
    with pytest.raises(UserError, match="8 of 8 recordings cannot be read"):
        make_store(corpus, tmp_path / "store")


def test_a_folder_of_something_else_is_refused(corpus, tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "report.txt").touch()
    (folder / "letter.txt").touch()
    with pytest.raises(UserError, match=r"not empty \('letter.txt' is in it\)"):
        make_store(corpus, folder)
    (folder / "letter.txt").unlink()
    make_store(corpus, folder)
    with pytest.raises(UserError, match="cannot be made the folder"):
        make_store(corpus, folder / "report.txt" / "store")


def test_a_disk_that_fails_is_the_users_matter(corpus, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard_writer, "to_integers", full)
    for options in ({}, {"writer": "beam"}):
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            make_store(corpus, tmp_path / "store", **options)
    assert not list((tmp_path / "store" / records.UNFINISHED).iterdir())


def test_without_beam_processes_do_the_work(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'keras_audio_vae\[beam\]'"):
        make_store(corpus, tmp_path / "store", writer="beam")
    _, lines = make_store(corpus, tmp_path / "store", writer="auto")
    assert lines == [f"wrote shard-0000{n}-of-00003.tfrecord" for n in range(3)]


def test_an_unknown_writer_is_a_mistake(corpus, tmp_path):
    with pytest.raises(ValueError, match="auto, beam, processes"):
        make_store(corpus, tmp_path / "store", writer="monk")
    assert not (tmp_path / "store").exists()


def test_names_that_are_no_text(tmp_path):
    folder = os.fsencode(make_sound(tmp_path / "sound", count=1))
    os.rename(folder + b"/0.wav", folder + b"/caf\xe9 \n%s.wav")
    corpus = scan(tmp_path / "sound")
    make_store(corpus, tmp_path / "store")
    [recording] = records.load_store(tmp_path / "store").recordings
    assert recording.recording_id == corpus.recordings[0].recording_id
    [source] = records.read_sources(tmp_path / "store").values()
    assert source["path"] == os.fsdecode(folder + b"/caf\xe9 \n%s.wav")
    with records.RecordStream(recording) as stream:
        assert len(stream.read(0, 1000)) == 1000


def test_what_can_be_read_of_a_damaged_recording_is_kept(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.4, 0.4, 4 * 22050).astype(np.float32)
    sound[3 * 22050] = np.nan
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", sound, 22050, subtype="FLOAT")
    settings = store.StoreSettings(22050, 1, {"valid_fraction": 0.0, "test_fraction": 0.0})
    store.write_store(scan(tmp_path / "in"), str(tmp_path / "out"), settings, writer="processes", workers=1)
    [recording] = records.load_store(tmp_path / "out").recordings
    assert 2.5 * 22050 < recording.samples <= 3 * 22050 and "88200" in recording.partial
    kept = records.RecordStream(recording).read(0, recording.samples)[:, 0]
    np.testing.assert_allclose(kept, sound[: len(kept)], atol=2e-5)
