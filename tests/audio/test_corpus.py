import json
import os

import numpy as np
import pytest
import soundfile

from keras_audio_vae.audio import scan
from keras_audio_vae.errors import UserError


def write(path, seconds=0.5, sample_rate=8000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * sample_rate), channels))
    soundfile.write(path, noise, sample_rate)


@pytest.fixture
def folder(tmp_path):
    """What users have: two good files, two that claim to be sound, and things that do not."""
    write(tmp_path / "b" / "song.mp3", 1.0, 44100, 2)
    write(tmp_path / "a.wav", 0.5, 8000)
    (tmp_path / "lyrics.wav").write_text("la la la")
    (tmp_path / "empty.flac").touch()
    (tmp_path / "notes.txt").write_text("la la la")
    (tmp_path / "._a.wav").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / ".cache").mkdir()
    write(tmp_path / ".cache" / "hidden.wav")
    return tmp_path


def test_folder_is_searched_and_nothing_is_passed_over_silently(folder):
    corpus = scan(str(folder))
    assert [recording.recording_id for recording in corpus.recordings] == ["a.wav", "b/song.mp3"]
    assert [(r.sample_rate, r.channels, r.samples) for r in corpus.recordings] == [(8000, 1, 4000), (44100, 2, 44100)]
    assert {os.path.basename(skipped.path): skipped.reason for skipped in corpus.skipped} == {
        "empty.flac": "the file is empty",
        "lyrics.wav": "not sound: it contains text",
    }
    assert corpus.other_files == 1, "notes.txt"
    assert corpus.hidden == 2, "._a.wav and .cache, whatever is in it"
    assert corpus.seconds == pytest.approx(1.5)


def test_report_and_json_tell_all(folder):
    corpus = scan(folder)
    report = corpus.report()
    for words in ("2 recordings, 1.5 s", "8000 (1), 44100 (1)", "1 (1), 2 (1)", "MP3 MPEG_LAYER_III (1)"):
        assert words in report
    assert f"skipped {folder / 'lyrics.wav'}: not sound: it contains text" in report
    assert f"skipped {folder / 'empty.flac'}: the file is empty" in report
    assert "  1 other file (no sound by name or content)\n  2 hidden files or folders left out\n" in report
    content = json.loads(corpus.to_json())
    assert content["seconds"] == 1.5 and len(content["recordings"]) == 2
    assert (content["other_files"], content["hidden"]) == (1, 2)


def test_sound_without_an_audio_name_is_used(tmp_path):
    write(tmp_path / "x.wav")
    (tmp_path / "x.wav").rename(tmp_path / "x")
    assert [recording.recording_id for recording in scan(tmp_path).recordings] == ["x"]


def test_glob_file_and_several_sources(folder):
    by_glob = scan(str(folder / "**" / "*.mp3"))
    assert [recording.recording_id for recording in by_glob.recordings] == ["b/song.mp3"]
    assert [recording.recording_id for recording in scan(str(folder / "a.wav")).recordings] == ["a.wav"]
    several = scan([str(folder / "a.wav"), str(folder / "b"), str(folder / "*.wav")])
    assert [recording.recording_id for recording in several.recordings] == ["a.wav", "b/song.mp3"]


def test_ids_stay_when_the_corpus_moves(folder, tmp_path_factory):
    before = [recording.recording_id for recording in scan(folder).recordings]
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "music")
    assert [recording.recording_id for recording in scan(moved).recordings] == before


def test_links_are_followed_once(folder):
    (folder / "b" / "ring").symlink_to(folder)
    assert len(scan(folder).recordings) == 2


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_file_with_several_names_is_one_recording(folder, link):
    """Two of them might lie on two sides of a split."""
    link(folder / "a.wav", folder / "0 the first name.wav")
    link(folder / "a.wav", folder / "b" / "other.wav")
    corpus = scan(folder)
    used = "a.wav" if link is os.symlink else "0 the first name.wav"
    assert [recording.recording_id for recording in corpus.recordings] == [used, "b/song.mp3"]
    same = {os.path.basename(one.path) for one in corpus.skipped if one.reason == f"the same file as {folder / used}"}
    assert same == {"a.wav", "0 the first name.wav", "other.wav"} - {used}
    assert f"skipped {folder / 'b' / 'other.wav'}: the same file as {folder / used}" in corpus.report()
    alone = scan(folder / "b" / "other.wav")
    assert len(alone.recordings) == 1 and not alone.skipped


def test_hidden_files_alone_are_said_to_be_there(tmp_path):
    write(tmp_path / ".a.wav")
    with pytest.raises(UserError, match=r"no usable sound among 0 files \(1 more hidden\)"):
        scan(tmp_path)
    assert len(scan(tmp_path / ".a.wav").recordings) == 1, "it was named"


def test_missing_path_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no file matches"):
        scan(str(tmp_path / "*.wav"))


def test_nothing_usable_is_an_error_with_reasons(tmp_path):
    for number in range(7):
        (tmp_path / f"{number}.wav").touch()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        UserError, match=r"no usable sound among 8 files; supported are WAV.*empty.*and 2 more"
    ) as error:
        scan(tmp_path)
    assert "\n" not in str(error.value)


def test_a_scan_in_many_threads_keeps_files_apart(tmp_path):
    for samples in range(1000, 1060):
        write(tmp_path / f"{samples}.flac", samples / 8000)
    for _ in range(3):
        recordings = scan(tmp_path).recordings
        assert [(r.recording_id, r.samples, r.decoder) for r in recordings] == [
            (f"{samples}.flac", samples, "flac16") for samples in range(1000, 1060)
        ]


def test_list_file_names_its_files_relative_to_itself(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "far.wav")
    lines = ["#EXTM3U", "song.mp3", "", "../a.wav", "../a.wav", str(elsewhere / "far.wav"), "gone.wav"]
    (folder / "b" / "mine.m3u").write_text("\n".join(lines))
    corpus = scan(folder / "b" / "mine.m3u")
    assert [os.path.basename(recording.path) for recording in corpus.recordings] == ["far.wav", "a.wav", "song.mp3"]
    assert [(s.path, s.reason) for s in corpus.skipped] == [(str(folder / "b" / "gone.wav"), "there is no such file")]
    assert len(scan([folder / "b" / "mine.m3u", folder]).recordings) == 3


def test_what_is_named_one_by_one_is_meant_as_sound(folder):
    (folder / "list.txt").write_text("a.wav\nnotes\nb\n")
    (folder / "notes").write_text("la la la")
    skipped = {os.path.basename(skipped.path): skipped.reason for skipped in scan(folder / "list.txt").skipped}
    assert skipped == {"notes": "not sound: it contains text", "b": "not a regular file, but a folder"}
    with pytest.raises(UserError, match="it contains text"):
        scan(folder / "notes")
    with pytest.raises(UserError, match=r"notes\.txt.*there is no such file"):
        scan(folder / "notes.txt")  # it is taken for a list
    (folder / "list.txt").write_text("# nothing\n")
    with pytest.raises(UserError, match="the list names no file"):
        scan(folder / "list.txt")


def test_sound_that_is_named_as_a_list_is_sound(folder):
    (folder / "a.wav").rename(folder / "a.txt")
    assert [recording.recording_id for recording in scan(folder / "a.txt").recordings] == ["a.txt"]


def test_strict_takes_only_what_is_whole(folder):
    with pytest.raises(UserError, match=r"not all of the sound.*empty\.flac: the file is empty; skipped .*lyrics\.wav"):
        scan(folder, strict=True)
    (folder / "empty.flac").unlink()
    (folder / "lyrics.wav").unlink()
    assert scan(folder, strict=True) == scan(folder)
