"""Models of mel bands by the commands: a vocoder, and a model whose sound it makes."""

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio_vae import VAE
from trainers import fit
from trainers.flags import parse
from trainers.rundir import RunDirectory
from trainers.settings import FitSettings

COMMON = [
    *("--hop=441", "--n_fft=1764", "--mel_bands=32"),
    *("--chunk_samples=4410", "--batch_size=2", "--steps_per_epoch=2", "--epochs=1", "--max_minutes=0", "--listen=0"),
    "--notensorboard",
]
MEL = [
    *("--frontend=mel", "--waveform_bands=0", "--waveform_weight=0", "--stft_weight=0"),
    *("--widths=8", "--depths=1", "--strides=", "--latent_dim=4"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound")
    for name in ("a", "b", "c"):
        soundfile.write(path / f"{name}.wav", np.random.default_rng(ord(name)).uniform(-0.5, 0.5, 9000), 22050)
    return path


@pytest.fixture(scope="module")
def vocoder(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "vocoder"
    flags = ["--model=vocoder", "--iterations=2", "--width=8", "--depth=1"]
    assert fit.cli(arguments=[*flags, *COMMON, f"--data={folder}", f"--run_dir={path}"]) == 0
    return path


def test_a_run_goes_through_its_vocoder_and_tells_what_the_conversion_costs(folder, vocoder, tmp_path):
    run = tmp_path / "run"
    arguments = [*COMMON, *MEL, f"--vocoder={vocoder}", f"--data={folder}", f"--run_dir={run}"]
    assert fit.cli(arguments=arguments) == 0
    table = (run / "evaluation.txt").read_text()
    assert "conversion alone" in table and "spectrogram distance" in table
    model = keras.saving.load_model(run / "model.keras")
    trained = keras.saving.load_model(vocoder / "model.keras").network
    for own, before in zip(model.network.vocoder.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(own, before)
    assert np.all(np.asarray(model.network.frontend.mean) < -1.0)  # adapted: it begins at 0
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, [1, 5000, 1]).astype(np.float32)
    served = tf.saved_model.load(str(run / "export" / "1")).signatures["reconstruct"](waveform=tf.constant(sound))
    np.testing.assert_allclose(served["waveform"], model.reconstruct(sound), atol=1e-4)


def test_a_run_of_another_family_is_no_vocoder(folder, tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    run.prepare(parse(FitSettings, [*COMMON, *MEL, f"--run_dir={run.path}"]))
    run.save_model(VAE(widths=[8], depths=[1], strides=[], waveform_bands=4, latent_dim=8))
    arguments = [*COMMON, *MEL, f"--vocoder={run.path}", f"--data={folder}", f"--run_dir={tmp_path / 'other'}"]
    assert fit.cli(arguments=arguments) == 1
    assert "is the run of a VAE: name one of --model=vocoder" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
