import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from keras_audio_vae.audio import corpus as corpus_module
from keras_audio_vae.audio import scan, scan_cache


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "music").mkdir()
    for number in range(5):
        soundfile.write(tmp_path / "music" / f"{number}.wav", np.zeros(100 + number), 8000)
    (tmp_path / "music" / "empty.flac").touch()
    (tmp_path / "music" / "text.wav").write_text("la la la")
    (tmp_path / "music" / "notes").write_text("la la la")
    with open(os.fsencode(tmp_path / "music") + b"/caf\xe9.flac", "wb") as file:
        soundfile.write(file, np.zeros(100), 8000, format="FLAC")
    return tmp_path / "music"


@pytest.fixture
def opened(monkeypatch):
    """The files that were really looked at."""
    names, real = [], corpus_module.read_header

    def read_header(path):
        names.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(corpus_module, "read_header", read_header)
    return names


def test_a_second_scan_opens_nothing_and_finds_the_same(folder, tmp_path, opened):
    cache = str(tmp_path / "cache" / "new")
    first = scan(folder, cache=cache)
    assert len(opened) == 9 and len(first.recordings) == 6 and len(first.skipped) == 2 and first.other_files == 1
    opened.clear()
    assert scan(folder, cache=cache) == first == scan(str(folder / "*"), cache=cache)
    assert opened == []
    assert scan(folder) == first and len(opened) == 9


def test_new_and_changed_files_are_looked_at(folder, tmp_path, opened):
    cache = str(tmp_path / "cache")
    scan(folder, cache=cache)
    opened.clear()
    soundfile.write(folder / "1.wav", np.zeros(50), 8000)
    soundfile.write(folder / "new.wav", np.zeros(50), 8000)
    os.utime(folder / "2.wav", ns=(1, 1))
    (folder / "0.wav").unlink()
    corpus = scan(folder, cache=cache)
    assert sorted(opened) == ["1.wav", "2.wav", "new.wav"]
    assert {recording.recording_id: recording.samples for recording in corpus.recordings}["1.wav"] == 50
    opened.clear()
    assert scan(folder, cache=cache) == corpus and opened == []


def test_what_the_system_refused_is_tried_again(folder, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr("keras_audio_vae.audio.headers.open", _refuse, raising=False)
        with pytest.raises(corpus_module.UserError, match="Permission denied"):
            scan(folder, cache=cache)
    assert len(scan(folder, cache=cache).recordings) == 6


def _refuse(path, *args):
    raise PermissionError(13, "Permission denied", path)


@pytest.mark.parametrize("contents", [b"", b"no database", b"SQLite format 3\0" + bytes(range(256)) * 20])
def test_a_damaged_cache_is_replaced(folder, tmp_path, opened, contents):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scan.sqlite").write_bytes(contents)
    first = scan(folder, cache=str(tmp_path / "cache"))
    opened.clear()
    assert scan(folder, cache=str(tmp_path / "cache")) == first and opened == []


def test_damaged_results_are_found_again(folder, tmp_path, opened):
    cache = str(tmp_path / "cache")
    first = scan(folder, cache=cache)
    for result in ("{", "[]", "3", '{"samples": 3}', '{"reason": "it is bad"}'):
        opened.clear()
        with sqlite3.connect(tmp_path / "cache" / "scan.sqlite") as connection:
            query = "UPDATE found SET result = ? WHERE path = ?"
            assert connection.execute(query, (result, os.fsencode(folder / "3.wav"))).rowcount == 1
        assert scan(folder, cache=cache) == first and "3.wav" in opened


def test_a_cache_of_another_version_is_not_believed(folder, tmp_path, opened, monkeypatch):
    cache = str(tmp_path / "cache")
    scan(folder, cache=cache)
    opened.clear()
    monkeypatch.setattr(scan_cache, "_VERSION", "another")
    scan(folder, cache=cache)
    assert len(opened) == 9


def test_a_cache_that_cannot_be_written_is_done_without(folder, tmp_path):
    (tmp_path / "file").touch()
    assert len(scan(folder, cache=str(tmp_path / "file" / "cache")).recordings) == 6
    (tmp_path / "cache" / "scan.sqlite").mkdir(parents=True)
    assert len(scan(folder, cache=str(tmp_path / "cache")).recordings) == 6


def test_a_locked_cache_is_done_without(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(scan_cache, "_PATIENCE_SECONDS", 0.01)
    first = scan(folder, cache=str(tmp_path / "cache"))
    (folder / "0.wav").unlink()
    with sqlite3.connect(tmp_path / "cache" / "scan.sqlite") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert len(scan(folder, cache=str(tmp_path / "cache")).recordings) == len(first.recordings) - 1


def test_several_scans_share_a_cache(folder, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scan(folder, cache=str(tmp_path / "cache")), range(8)))
    assert all(corpus == found[0] for corpus in found)
