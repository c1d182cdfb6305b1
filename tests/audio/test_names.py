"""Files with odd names, and what is no file at all."""

import json
import os
import socket

import pytest

from keras_audio_vae.audio import SoundStream, decode_file, headers, printable, scan
from keras_audio_vae.errors import UserError
from tests.audio.faults import assert_refused, only, streamed, tone, write

NAMES = [
    "Größe – ä b 音.wav",
    " leading and trailing .wav",
    "two\nlines\r.wav",
    'it\'s "quoted" $(shell) `x` ; & | * ? [1].wav',
    "100%s %d %%.wav",
    "-rf.wav",
    "back\\slash.wav",
    "#no comment.wav",
    os.fsdecode(b"caf\xe9.wav"),
    "x" * 246 + ".wav",
]


def test_odd_names_are_read_printed_and_written_down(tmp_path):
    for name in NAMES:
        write(tmp_path / name, tone(1000), format="WAV")
    os.mkfifo(tmp_path / os.fsdecode(b"\xff\n.wav"))
    corpus = scan(tmp_path)
    assert sorted(os.path.basename(recording.path) for recording in corpus.recordings) == sorted(NAMES)
    for recording in corpus.recordings:
        assert len(streamed(recording)) == 1000
        assert len(decode_file(recording.path)[0]) == 1000
        assert recording.recording_id.isprintable() and recording.recording_id.encode()
    assert len({recording.recording_id for recording in corpus.recordings}) == len(NAMES)
    assert corpus.report().encode().decode().count("\n") == 4
    content = json.loads(corpus.to_json().encode())
    assert [recording["path"] for recording in content["recordings"]] == [r.path for r in corpus.recordings]


def test_odd_names_alone_and_in_lists(tmp_path):
    named = [name for name in NAMES if "\n" not in name]
    for name in named:
        write(tmp_path / name, tone(1000), format="WAV")
        assert os.path.basename(only(tmp_path / name).path) == name  # also where it looks like a pattern
    lines = ["# mine", "", *(f"./{name}" for name in named)]
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbf" + os.fsencode("\r\n".join(lines)))
    corpus = scan(tmp_path / "mine.txt", strict=True)
    assert sorted(os.path.basename(recording.path) for recording in corpus.recordings) == sorted(named)


def test_messages_are_one_line_whatever_the_name(tmp_path):
    path = write(tmp_path / "two\nlines.flac", tone(5000))
    recording = only(path)
    path.write_bytes(b"fLaC")
    for fail in (lambda: SoundStream(recording), lambda: decode_file(str(path)), lambda: scan(path)):
        with pytest.raises(UserError, match=r"two\\nlines\.flac") as error:
            fail()
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"^[^\n]*$"):
        scan(str(tmp_path / "no\nthing"))


def test_printable_keeps_plain_names_and_tells_others_apart():
    assert printable("/a b/Größe.wav") == "/a b/Größe.wav"
    assert len({printable(name) for name in ("a\n", "a\\n", "a\\\n", "a\\\\n")}) == 4
    assert printable(os.fsdecode(b"\xff")).encode() == b"\\udcff"


def test_a_pipe_a_socket_and_a_folder_do_not_hang_a_scan(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "a.wav")
    assert_refused(tmp_path / "a.wav", "not a regular file, but a pipe")
    with pytest.raises(UserError, match="a pipe"):
        scan(tmp_path / "a.wav")
    (tmp_path / "a.wav").unlink()
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("a.wav")
        assert_refused(tmp_path / "a.wav", "not a regular file, but a socket")
    os.mkfifo(tmp_path / "no claim")
    assert scan(tmp_path).other_files == 1


def test_dangling_links_and_rings(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "nowhere.wav")
    assert_refused(tmp_path / "a.wav", "a link to a file that is not there")
    (tmp_path / "a.wav").unlink()
    (tmp_path / "a.wav").symlink_to("a.wav")
    assert_refused(tmp_path / "a.wav", "cannot be read: Too many levels of symbolic links")
    (tmp_path / "a.wav").unlink()
    (tmp_path / "ring").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "good.wav")
    corpus = scan(tmp_path)
    assert [r.recording_id for r in corpus.recordings] == ["good.wav"]
    assert [(s.path, s.reason) for s in corpus.skipped] == [
        (str(tmp_path / "again"), f"the same file as {tmp_path / 'good.wav'}")
    ]


def test_unreadable_file_and_folder(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    write(tmp_path / "a.wav", tone(100))
    real_open, real_scandir = open, os.scandir

    def refuse(path, *args, **kwargs):
        if str(path).endswith("a.wav"):
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *args, **kwargs)

    def refuse_folder(path):
        if str(path).endswith("inside"):
            raise PermissionError(13, "Permission denied", path)
        return real_scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(headers, "open", refuse, raising=False)
        assert_refused(tmp_path / "a.wav", "cannot be read: Permission denied")
        patch.setattr(os, "scandir", refuse_folder)
        corpus = scan(tmp_path)
    assert str(tmp_path / "inside") in [skipped.path for skipped in corpus.skipped]
    assert "the folder cannot be searched: Permission denied" in corpus.report()
