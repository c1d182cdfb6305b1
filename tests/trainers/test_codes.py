"""A model of codes by the commands: trained, measured, exported, and its code files written and read."""

import contextlib
import dataclasses
import io
import shutil

import numpy as np
import pytest
import soundfile

from keras_audio_vae import VAE
from keras_audio_vae.serving.code_file import CodeFile
from trainers import coding, command, fit, reconstruct
from trainers.reconstruct import ReconstructSettings
from trainers.settings import FitSettings

TINY = [  # one stage and no spectral losses, which take most of the time that tracing takes
    *("--widths=8", "--depths=1", "--strides=", "--hop=630", "--n_fft=1260", "--latent_dim=8", "--waveform_bands=4"),
    *("--codebook_size=16", "--num_codebooks=3", "--chunk_samples=6300", "--epochs=1", "--steps_per_epoch=3"),
    *("--batch_size=4", "--listen=0", "--notensorboard", "--scan_cache=0", "--stft_weight=0", "--mel_weight=0"),
]


def run(main, settings_class, *arguments):
    """The status and what was printed of a command."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = command.run(main, settings_class, name="trainers.x", purpose="", arguments=arguments)
    return status, said.getvalue()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    for name, samples in (("a", 30000), ("b", 22050), ("deep/c", 700_000)):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", 0.1 * random.standard_normal(samples), 22050)
    return folder


@pytest.fixture(scope="module")
def run_dir(sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vqvae"
    status, said = run(
        fit.main, FitSettings, "--model=vqvae", f"--data={sounds}", f"--run_dir={folder}", *TINY
    )  # fmt: skip
    assert status == 0, said
    assert "codebooks: used " in said
    assert "perplexity" in (folder / "evaluation.txt").read_text()
    assert (folder / "export" / "1" / "saved_model.pb").is_file()
    return folder


def reconstructed(run_dir, source, output, *more):
    return run(
        reconstruct.main, ReconstructSettings, f"--run_dir={run_dir}", f"--input={source}", f"--output={output}", *more
    )


def test_codes_are_written_and_give_the_sound_of_a_reconstruction(run_dir, sounds, tmp_path):
    status, said = reconstructed(run_dir, sounds, tmp_path / "codes", "--codes")
    assert status == 0
    assert reconstructed(run_dir, tmp_path / "codes", tmp_path / "decoded", "--codes")[0] == 0
    assert reconstructed(run_dir, sounds, tmp_path / "direct")[0] == 0
    for name in ("a", "b", "deep/c"):
        decoded, _ = soundfile.read(tmp_path / "decoded" / f"{name}.wav")
        direct, _ = soundfile.read(tmp_path / "direct" / f"{name}.wav")
        np.testing.assert_allclose(decoded, direct, atol=2 / 32768)
    long = CodeFile.read(tmp_path / "codes" / "deep" / "c.kavc")
    size = (tmp_path / "codes" / "deep" / "c.kavc").stat().st_size
    assert 8 * size * long.sample_rate / long.samples == pytest.approx(35 * 3 * 4, rel=0.05)  # 1.7 kB
    assert f"{size} bytes" in said and "(420 nominal)" in said
    assert long.samples == 700_000


def test_codes_of_another_model_and_damaged_ones_are_left_out_with_the_reason(run_dir, sounds, tmp_path):
    assert reconstructed(run_dir, sounds / "b.wav", tmp_path / "codes", "--codes")[0] == 0
    good = CodeFile.read(tmp_path / "codes" / "b.kavc")
    for name, changes in {
        "foreign": {"model": "f00d"},
        "sizes": {"codebook_sizes": (16, 16, 17)},
        "rate": {"sample_rate": 44100},
        "channels": {"channels": 2},
        "longer": {"samples": good.samples + 22050},
    }.items():
        dataclasses.replace(good, **changes).write(tmp_path / "codes" / f"{name}.kavc")
    (tmp_path / "codes" / "cut.kavc").write_bytes(good.to_bytes()[:-9])
    status, said = reconstructed(run_dir, tmp_path / "codes", tmp_path / "out", "--codes")
    assert status == 0
    assert "1 of 7 written, 6 skipped" in said
    assert "foreign.kavc: these codes are another model's" in said and "cut.kavc is damaged" in said
    assert "sizes.kavc: what it says is not its model's (codebook_sizes (16, 16, 17), not (16, 16, 16))" in said
    assert "rate.kavc: what it says is not its model's (sample_rate 44100, not 22050)" in said
    assert "channels.kavc: what it says is not its model's (channels 2, not 1)" in said
    assert "longer.kavc: what it says is not its model's (frames " in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.wav"]


def test_sound_beside_code_files_is_passed_over_with_a_word(run_dir, sounds, tmp_path):
    assert reconstructed(run_dir, sounds / "b.wav", tmp_path / "codes" / "x", "--codes")[0] == 0
    shutil.copytree(tmp_path / "codes" / "x", tmp_path / "codes" / "y")
    shutil.copy(sounds / "a.wav", tmp_path / "codes" / "x")
    status, said = reconstructed(run_dir, tmp_path / "codes" / "*" / "*", tmp_path / "out", "--codes")
    assert status == 0
    assert "decoding 2 with codes; passing over 1 without, such as " in said and "a.wav: sound is encoded if no" in said
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.wav"))
    assert written == ["x/b.wav", "y/b.wav"]


@pytest.fixture
def tree(tmp_path):
    for name in ("a/x.kavc", "b/x.kavc", "b/deep/y.kavc", "b/.z.kavc", ".hidden/v.kavc", "c/w.wav", "c/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "source, names",
    [
        ("", ["a/x.kavc", "b/deep/y.kavc", "b/x.kavc"]),
        ("*/*.kavc", ["a/x.kavc", "b/x.kavc"]),
        ("**/*", ["a/x.kavc", "b/deep/y.kavc", "b/x.kavc"]),
        ("*", ["a/x.kavc", "b/deep/y.kavc", "b/x.kavc"]),
        ("b/**/*.kavc", ["deep/y.kavc", "x.kavc"]),
        ("a/*", ["x.kavc"]),
        ("a/x.kavc", ["x.kavc"]),
        ("c", []),
        ("c/w.wav", []),
        ("nothing", []),
    ],
)
def test_code_files_are_named_by_where_they_lie(tree, source, names, capsys):
    found = coding.code_files(str(tree / source))
    assert sorted(found) == names
    assert all(str(path).endswith(name) and path.is_file() for name, path in found.items())
    passed_over = "decoding 3 with codes; passing over 2 without" in capsys.readouterr().out
    assert passed_over == (len(names) == 3)


def test_a_model_without_codes_is_refused(run_dir, sounds, tmp_path):
    vae = shutil.copytree(run_dir, tmp_path / "vae")
    VAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4).save(vae / "model.keras")
    status, said = reconstructed(vae, sounds, tmp_path / "out", "--codes")
    assert status == 1 and "has no codes" in said and not (tmp_path / "out").exists()


def test_a_run_of_another_family_is_not_gone_on_with(run_dir, sounds, tmp_path):
    copy = shutil.copytree(run_dir, tmp_path / "run")
    flags = [flag for flag in TINY if "codebook" not in flag]
    status, said = run(fit.main, FitSettings, f"--data={sounds}", f"--run_dir={copy}", *flags)
    assert status == 1 and "--model vqvae -> vae" in said
