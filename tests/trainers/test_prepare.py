import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from keras_audio_vae.datasets import records
from trainers import data, prepare
from trainers.settings import FitSettings


@pytest.fixture
def folder(tmp_path):
    """Three recordings of different kinds, and an empty file that claims to be one."""
    path = tmp_path / "sound"
    path.mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, size=(44100, 2))
    soundfile.write(path / "stereo.mp3", noise, 44100, format="MP3")
    soundfile.write(path / "slow.wav", noise[:8001, 0], 8000)
    soundfile.write(path / "plain.flac", noise[:22050, 0], 22050)
    (path / "empty.flac").touch()
    return path


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["prepare", *map(str, arguments)])
    return prepare.cli()


def test_a_folder_becomes_a_store(folder, tmp_path, monkeypatch, capsys):
    arguments = [f"--data={folder}", f"--output={tmp_path / 'store'}", "--workers=1"]
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "empty.flac: the file is empty" in printed and "store: recordings: 3, 3.0 s" in printed
    corpus = records.load_store(tmp_path / "store")
    assert sorted(recording.split for recording in corpus.recordings) == ["test", "train", "valid"]
    assert {(recording.sample_rate, recording.channels) for recording in corpus.recordings} == {(22050, 1)}
    assert [skipped.path for skipped in corpus.skipped] == [str(folder / "empty.flac")]
    manifest = records.read_manifest(tmp_path / "store")
    expected = {"sample_rate": 22050, "channels": 1, "split_by": "digest", "valid_fraction": 0.1, "test_fraction": 0.1}
    assert expected.items() <= manifest["settings"].items()
    records.verify(tmp_path / "store")

    assert call(monkeypatch, *arguments) == 0
    assert "already there" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--channels=2") == 1
    assert "channels is 1 there and 2 now" in capsys.readouterr().err
    assert call(monkeypatch, f"--data={tmp_path / 'store'}", f"--output={tmp_path / 'other'}") == 1
    assert "a record store already" in capsys.readouterr().err


def test_splits_may_come_from_a_table(folder, tmp_path, monkeypatch):
    table = "file,split\nstereo.mp3,test\nslow.wav,train\nplain.flac,train\n"
    (tmp_path / "splits.csv").write_text(table)
    arguments = [f"--data={folder}", f"--output={tmp_path / 'store'}", f"--split_by={tmp_path / 'splits.csv'}"]
    assert call(monkeypatch, *arguments, "--writer=processes") == 0
    splits = {one.recording_id: one.split for one in records.load_store(tmp_path / "store").recordings}
    assert splits == {"stereo.mp3": "test", "slow.wav": "train", "plain.flac": "train"}
    assert records.read_manifest(tmp_path / "store")["settings"]["split_by"] == "splits.csv"


def test_a_store_keeps_its_division_and_says_so(folder, tmp_path, monkeypatch, capsys):
    made = tmp_path / "store"
    arguments = [f"--data={folder}", f"--output={made}", "--valid_fraction=0.4", "--test_fraction=0", "--workers=1"]
    assert call(monkeypatch, *arguments) == 0
    capsys.readouterr()

    def divided(**flags):
        settings = FitSettings(data=str(made), **flags)
        parts = data.split(data.load(str(made), settings), settings)
        return {one.recording_id: name for name, part in parts.items() for one in part.recordings}

    own = {one.recording_id: one.split for one in records.load_store(made).recordings}
    assert divided(valid_fraction=0.4, test_fraction=0.0) == own
    assert capsys.readouterr().out == ""
    assert divided(valid_fraction=0.4, test_fraction=0.3) == own
    assert capsys.readouterr().out == (
        f"{made}: the record store's own division is used (test_fraction is 0.0 there, and --test_fraction is 0.3)\n"
    )
    (tmp_path / "splits.csv").write_text("file,split\nstereo.mp3,test\nslow.wav,train\nplain.flac,valid\n")
    anew = divided(split_by=str(tmp_path / "splits.csv"))
    assert anew == {"stereo.mp3": "test", "slow.wav": "train", "plain.flac": "valid"}
    assert capsys.readouterr().out == ""


def test_a_recording_damaged_behind_its_header_is_said_to_be_skipped(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "keras_audio_vae.datasets.store.plan.Source.unchanged",
        lambda source: source.recording.recording_id != "slow.wav",
    )
    assert call(monkeypatch, f"--data={folder}", f"--output={tmp_path / 'store'}", "--writer=processes") == 0
    printed = capsys.readouterr().out
    assert "slow.wav: it was changed" in printed and "store: recordings: 2, " in printed


def test_a_report_is_printed_and_saved(folder, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, f"--data={folder}", "--report") == 0
    printed = capsys.readouterr().out
    for said in ("3 recordings", "MP3 MPEG_LAYER_III (1)", "44100 (1)", "durations:", "silence", "empty.flac"):
        assert said in printed
    assert call(monkeypatch, f"--data={folder}", "--report", f"--output={tmp_path / 'store'}") == 0
    assert capsys.readouterr().out == printed == (tmp_path / "store" / "report.txt").read_text()
    assert len(json.loads((tmp_path / "store" / "report.json").read_text())["findings"]) == 3
    assert call(monkeypatch, f"--data={folder}", "--report", f"--output={folder / 'slow.wav'}") == 1
    assert "cannot be written" in capsys.readouterr().err
    # The store may be made where its report lies already.
    assert call(monkeypatch, f"--data={folder}", f"--output={tmp_path / 'store'}", "--workers=1") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data=x"], "--output is required"),
        (["--output=x"], "--data is required"),
        (["--data=fluidnotes", "--output=x", "--valid_fraction=0.5", "--test_fraction=0.5"], "leave a share"),
        (["--data=x", "--output=x", "--writer=monk"], "auto, beam, processes"),
    ],
)
def test_flags_that_cannot_be(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_it_answers_before_tensorflow_is_loaded():
    program = (
        "import sys; from trainers.prepare import cli; sys.argv[1:] = ['--nosuch=1']; status = cli();"
        " assert not {'tensorflow', 'apache_beam'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Unknown command line flag 'nosuch'" in done.stderr
