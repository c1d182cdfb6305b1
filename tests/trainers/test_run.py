"""From a folder of sound of all kinds to a trained model and back, by the commands themselves."""

import contextlib
import json

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio_vae import serving
from keras_audio_vae.audio import levels
from trainers import evaluate, export, fit, reconstruct, rundir

SMALL = [  # one stage and no spectral losses, which take most of the time that tracing takes
    *("--hop=315", "--n_fft=1260", "--widths=8", "--depths=1", "--strides=", "--latent_dim=4", "--waveform_bands=4"),
    *("--stft_weight=0", "--mel_weight=0"),
    *("--chunk_samples=4410", "--batch_size=2", "--steps_per_epoch=2", "--epochs=1", "--max_minutes=0", "--listen=1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One MP3 at 44.1 kHz stereo, one WAV at 8 kHz, a text file named .wav and an empty one."""
    path = tmp_path_factory.mktemp("sound")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, size=(44100, 2))
    (path / "deep").mkdir()
    soundfile.write(path / "deep" / "stereo.mp3", noise, 44100, format="MP3")
    soundfile.write(path / "slow.wav", noise[:8001, 0], 8000)
    (path / "letter.wav").write_text("Dear sir, this is no sound.")
    (path / "empty.flac").touch()
    return path


@pytest.fixture(scope="module")
def run_dir(folder, tmp_path_factory):
    """A finished run on that folder; what it printed lies beside it."""
    path = tmp_path_factory.mktemp("runs") / "small"
    with path.with_suffix(".out").open("w") as out, contextlib.redirect_stdout(out):
        assert fit.cli(arguments=[*SMALL, f"--data={folder}", f"--run_dir={path}"]) == 0
    return path


def tones(seconds, *frequencies):
    """A channel for each frequency: [samples, channels]."""
    return np.sin(2 * np.pi * np.outer(np.arange(round(22050 * seconds)) / 22050, frequencies)).astype(np.float32)


@pytest.fixture(scope="module")
def stereo_folder(tmp_path_factory):
    """Two stereo files with another tone on each side, one soft and one forty times louder."""
    path = tmp_path_factory.mktemp("stereo")
    soundfile.write(path / "soft.wav", 0.01 * tones(1.0, 220, 523), 22050, subtype="FLOAT")
    soundfile.write(path / "loud.wav", 0.4 * tones(0.7, 300, 110), 22050, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def stereo_run(stereo_folder, tmp_path_factory):
    """A finished run in stereo on the soft file alone, by two replicas; what it printed lies beside it."""
    path = tmp_path_factory.mktemp("runs") / "stereo"
    # The latents begin as a lapped transform of 32 bands, which holds the tones, so that two steps are training enough.
    stereo = ["--channels=2", "--normalization=loudness", "--latent_dim=64", "--waveform_bands=32"]
    quick = ["--replicas=2", "--steps_per_epoch=1", "--notensorboard", "--listen=0"]
    arguments = [*SMALL, *stereo, *quick, f"--data={stereo_folder / 'soft.wav'}", f"--run_dir={path}"]
    with path.with_suffix(".out").open("w") as out, contextlib.redirect_stdout(out):
        assert fit.cli(arguments=arguments) == 0
    return path


def test_a_run_leaves_everything_in_its_folder(run_dir):
    expected = {"run.flags", "corpus.json", "log.csv", "model.keras", "export", "evaluation.txt", "evaluation.json"}
    assert expected | {"listen", "spectrograms.png", "tensorboard", "checkpoints"} == {
        p.name for p in run_dir.iterdir()
    }
    assert (run_dir / "export" / "1" / "saved_model.pb").is_file()
    assert len(list((run_dir / "listen").glob("*_original.wav"))) == 1
    assert len(list((run_dir / "listen").glob("*_reconstruction.wav"))) == 1
    table = (run_dir / "evaluation.txt").read_text()
    assert table.startswith("Measures on the train recordings, which the training saw\n") and "silence" in table
    assert len(json.loads((run_dir / "evaluation.json").read_text())["recordings"]) == 2


def test_good_files_are_trained_on_and_the_others_named_with_reasons(run_dir):
    corpus = json.loads((run_dir / "corpus.json").read_text())
    assert [entry["recording_id"] for entry in corpus["recordings"]] == ["deep/stereo.mp3", "slow.wav"]
    skipped = {entry["path"].rsplit("/", 1)[-1]: entry["reason"] for entry in corpus["skipped"]}
    assert sorted(skipped) == ["empty.flac", "letter.wav"] and all(skipped.values())
    printed = run_dir.with_suffix(".out").read_text()
    assert all(f"{name}: {reason}" in printed for name, reason in skipped.items())
    assert (run_dir / "evaluation.txt").read_text() in printed
    assert [line.split()[0] for line in printed.splitlines()[-11:]] == [str(run_dir / name) for name in rundir.CONTENTS]


def test_the_saved_model_has_no_optimizer_and_reconstructs_any_length(run_dir):
    model = keras.saving.load_model(run_dir / "model.keras")
    assert not model.compiled
    waveform = np.zeros((1, 3001, 1), np.float32)
    assert model.reconstruct(waveform).shape == waveform.shape


def test_one_file_is_enough_and_two_replicas_train_on_it(stereo_run):
    assert "shuffled latents    not measured" in stereo_run.with_suffix(".out").read_text()
    assert {"model.keras", "export", "evaluation.txt"} <= {path.name for path in stereo_run.iterdir()}
    assert not (stereo_run / "listen").exists() and not (stereo_run / "tensorboard").exists()


def gain_of(waveform):
    return levels.gain_for(levels.measure([waveform], 22050), "loudness")


def test_stereo_comes_out_of_the_reconstruction_at_its_own_level(stereo_folder, stereo_run, tmp_path):
    arguments = [f"--run_dir={stereo_run}", f"--input={stereo_folder}", f"--output={tmp_path}"]
    assert reconstruct.cli(arguments=arguments) == 0
    for name in ("soft", "loud"):
        (before, _), (after, rate) = (soundfile.read(folder / f"{name}.wav") for folder in (stereo_folder, tmp_path))
        assert after.shape == before.shape and rate == 22050
        assert not 0.5 < gain_of(before) < 2.0  # so that the level had to be restored
        np.testing.assert_allclose(after.std(axis=0), before.std(axis=0), rtol=0.03)
        likeness = np.corrcoef(before, after, rowvar=False)[:2, 2:]
        np.testing.assert_allclose(likeness, np.eye(2), atol=0.05)


def test_stereo_comes_out_of_the_export_command_as_out_of_the_reconstruction(stereo_folder, stereo_run, tmp_path):
    assert export.cli(arguments=[f"--run_dir={stereo_run}", f"--output={tmp_path / 'served'}", "--version=3"]) == 0
    path = stereo_folder / "soft.wav"
    assert reconstruct.cli(arguments=[f"--run_dir={stereo_run}", f"--input={path}", f"--output={tmp_path}"]) == 0
    before, after = (soundfile.read(file, dtype="float32")[0] for file in (path, tmp_path / "soft.wav"))
    served = tf.saved_model.load(str(tmp_path / "served" / "3")).signatures["serving_default"]
    waveform = served(waveform=gain_of(before) * before[np.newaxis])["waveform"].numpy()[0]
    np.testing.assert_allclose(waveform / gain_of(before), after, atol=1 / 32768)  # what 16 bits round


def test_the_same_command_again_goes_on_where_the_run_was(folder, run_dir, monkeypatch, capsys):
    monkeypatch.setattr(serving, "export", lambda model, path: path)  # it takes a while, and is no part of this
    flags = [*SMALL, f"--data={folder}", f"--run_dir={run_dir}"]
    assert fit.cli(arguments=[*flags, "--epochs=2", "--listen=0"]) == 0
    out = capsys.readouterr().out
    assert "at step 2" in out and "skipped" in out and str(run_dir / "model.keras") in out
    assert [line.split(",")[1] for line in (run_dir / "log.csv").read_text().splitlines()] == ["step", "2", "4"]


def test_a_run_of_other_flags_is_not_touched(folder, run_dir, capsys):
    before = (run_dir / "model.keras").read_bytes()
    assert fit.cli(arguments=[*SMALL, f"--data={folder}", f"--run_dir={run_dir}", "--latent_dim=5"]) == 1
    assert "--latent_dim 4 -> 5" in capsys.readouterr().err
    assert (run_dir / "model.keras").read_bytes() == before


def test_a_run_of_two_levels_tells_what_each_carries(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(serving, "export", lambda model, path: path)  # it takes a while, and is no part of this
    levels = ["--model=hvae", "--top_dim=2", "--top_stride=2", "--top_width=8", "--top_depth=1", "--notensorboard"]
    assert fit.cli(arguments=[*SMALL, *levels, "--listen=0", f"--data={folder}", f"--run_dir={tmp_path / 'run'}"]) == 0
    out = capsys.readouterr().out
    assert "  shuffled top " in out and "  shuffled bottom " in out and "top_share: " in out
    content = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert set(content["latents"]["levels"]) == {"top", "bottom"}
    columns = (tmp_path / "run" / "log.csv").read_text().splitlines()[0].split(",")
    assert {"kl_top", "kl_bottom", "rate_bps_top", "beta_bottom", "active_units_top", "coarse"} <= set(columns)
    arguments = [f"--run_dir={tmp_path / 'run'}", f"--input={folder / 'slow.wav'}", f"--output={tmp_path / 'out'}"]
    assert reconstruct.cli(arguments=arguments) == 0
    assert (tmp_path / "out" / "slow.wav").is_file()


def test_flags_that_make_no_model_are_one_line(folder, tmp_path, capsys):
    arguments = [*SMALL, f"--data={folder}", f"--run_dir={tmp_path / 'run'}", "--depths=1,1,1"]
    assert fit.cli(arguments=arguments) == 2
    assert "depths" in capsys.readouterr().err


def test_nothing_usable_is_one_line(folder, tmp_path, capsys):
    assert fit.cli(arguments=[*SMALL, f"--data={folder}/*.flac", f"--run_dir={tmp_path / 'run'}"]) == 1
    assert "empty.flac" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_other_recordings_are_evaluated_into_another_folder(folder, run_dir, tmp_path, capsys):
    arguments = [f"--run_dir={run_dir}", f"--data={folder / 'slow.wav'}", "--split=all"]
    assert evaluate.cli(arguments=arguments) == 2
    assert "--output" in capsys.readouterr().err
    assert evaluate.cli(arguments=[*arguments, f"--output={tmp_path}", "--listen=0"]) == 0
    assert json.loads((tmp_path / "evaluation.json").read_text())["recordings"] == ["slow.wav"]
    assert (tmp_path / "evaluation.txt").read_text().strip() in capsys.readouterr().out


def test_reconstructions_have_the_input_s_length_and_tree(folder, run_dir, tmp_path, capsys):
    assert reconstruct.cli(arguments=[f"--run_dir={run_dir}", f"--input={folder}", f"--output={tmp_path}"]) == 0
    lengths = {}
    for path in tmp_path.rglob("*.wav"):
        info = soundfile.info(path)
        lengths[path.relative_to(tmp_path).as_posix()] = (info.frames, info.samplerate, info.channels)
    slow = (round(8001 * 22050 / 8000), 22050, 1)
    assert lengths["slow.wav"][1:] == slow[1:] and abs(lengths["slow.wav"][0] - slow[0]) <= 1
    assert set(lengths) == {"slow.wav", "deep/stereo.wav"}
    out = capsys.readouterr().out
    assert "letter.wav" in out and "empty.flac" in out


def test_what_can_be_read_of_a_damaged_file_is_reconstructed(run_dir, tmp_path, capsys):
    sound = np.zeros(8000, np.float32)
    (tmp_path / "in" / "a").mkdir(parents=True)
    soundfile.write(tmp_path / "in" / "z.wav", sound, 8000)
    for name, damage in (("broken", 4000), ("void", 0)):
        damaged = sound.copy()
        damaged[damage] = np.nan
        soundfile.write(tmp_path / "in" / "a" / f"{name}.wav", damaged, 8000, subtype="FLOAT")
    arguments = [f"--run_dir={run_dir}", f"--output={tmp_path / 'out'}"]
    assert reconstruct.cli(arguments=[*arguments, f"--input={tmp_path / 'in'}"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.wav")) == ["broken.wav", "z.wav"]
    said = capsys.readouterr().out
    assert "only the first 4000 of 8000 samples can be read" in said and "void.wav: sample 0 is NaN" in said
    assert soundfile.info(tmp_path / "out" / "a" / "broken.wav").frames == 4000 * 22050 // 8000
    (tmp_path / "in" / "a" / "broken.wav").unlink()
    assert reconstruct.cli(arguments=[*arguments, f"--input={tmp_path / 'in' / 'a'}"]) == 1
    assert "nothing was written" in capsys.readouterr().err


def test_a_reconstruction_never_overwrites_its_input(folder, run_dir, capsys):
    before = (folder / "slow.wav").read_bytes()
    assert reconstruct.cli(arguments=[f"--run_dir={run_dir}", f"--input={folder}", f"--output={folder}"]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert (folder / "slow.wav").read_bytes() == before
