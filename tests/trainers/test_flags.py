import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers import flags
from trainers.evaluate import EvaluateSettings
from trainers.export import ExportSettings
from trainers.reconstruct import ReconstructSettings
from trainers.settings import FitSettings, VAESettings, VQVAESettings


def values_of(field: dataclasses.Field) -> st.SearchStrategy:
    """Every value that a flag allows."""
    bounds, default = field.metadata["bounds"], field.default
    least = bounds.get("at least", bounds.get("greater than"))
    most = bounds.get("at most", bounds.get("less than"))
    if isinstance(default, bool):
        return st.booleans()
    if isinstance(default, int):
        return st.integers(least, most)
    if isinstance(default, float):
        return st.floats(
            least, most, exclude_min="greater than" in bounds, exclude_max="less than" in bounds, allow_infinity=False
        )
    if isinstance(default, tuple):
        return st.lists(st.integers(least, most)).map(tuple)
    if field.metadata["choices"]:
        return st.sampled_from(field.metadata["choices"])
    text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1)
    return text.map(str.strip).filter(bool)


ranges = st.just(()) | st.tuples(st.integers(1, 100), st.integers(100, 9999))
FITTING_EACH_OTHER = {
    "epochs": st.integers(1),
    "valid_fraction": st.floats(0.0, 0.4),
    "test_fraction": st.floats(0.0, 0.4),
    "lowpass_hz": ranges,
    "noise_dbfs": ranges,
}


def settings_of(family: type[FitSettings]) -> st.SearchStrategy:
    """Every run of a family of models."""
    fields = {field.name: values_of(field) for field in dataclasses.fields(family)}
    return st.builds(family, **{**fields, **FITTING_EACH_OTHER, "model": st.just(family.model)})


ALL_SETTINGS = settings_of(VAESettings) | settings_of(VQVAESettings)


@given(ALL_SETTINGS)
def test_settings_survive_the_flag_file(tmp_path_factory, settings):
    path = tmp_path_factory.getbasetemp() / "run.flags"
    path.write_text(flags.format_flags(settings), encoding="utf-8")
    assert flags.parse(FitSettings, [f"--flagfile={path}"]) == settings


@given(ALL_SETTINGS)
def test_settings_survive_the_command_line(settings):
    arguments = [line for line in flags.format_flags(settings).splitlines() if not line.startswith("# ")]
    assert flags.parse(FitSettings, arguments) == settings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epoch=3"], "'epoch'. Did you mean: epochs"),
        (["--flagfile=configs/vqvae.flags", "--model=gan"], "--model must be one of"),
        (["--epochs=three"], "--epochs=three: expected a whole number"),
        (["--epochs=1.5"], "--epochs=1.5: expected a whole number"),
        (["--epochs=-1"], "--epochs must be at least 0, not -1"),
        (["--epochs=0", "--max_minutes=0"], "must not both be 0"),
        (["--valid_fraction=0.5", "--test_fraction=0.5"], "must leave a share to train on"),
        (["--noise_dbfs=-30,-60"], "--noise_dbfs must be two numbers, the lower first"),
        (["--beta=nan"], "--beta must be a finite number, not nan"),
        (["--beta=x"], "--beta=x: expected a number"),
        (["--chunk_overlap=1"], "--chunk_overlap must be less than 1.0, not 1.0"),
        (["--learning_rate=0"], "--learning_rate must be greater than 0.0, not 0.0"),
        (["--widths=128,"], "--widths=128,: expected whole numbers, separated by commas"),
        (["--strides=3,0"], "--strides must be at least 1, not 0"),
        (["--frontend=mels"], "--frontend must be one of stft, waveform, mel, not 'mels'"),
        (["--fresh=maybe"], "--fresh=maybe: expected true or false"),
        (["--data="], "--data is required"),
        (["--data=a\nb"], "--data must be one line"),
        (["--hop"], "Missing value for flag --hop"),
        (["epochs=3"], "unexpected argument 'epochs=3'"),
        (["--flagfile=nowhere.flags"], "no flag file 'nowhere.flags'; shipped are configs/"),
        (["--flagfile"], "--flagfile with no argument"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(flags.FlagError) as error:
        flags.parse(FitSettings, arguments)
    assert said in str(error.value)


def test_a_flag_file_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "noise.flags"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(flags.FlagError, match="not a text file"):
        flags.parse(FitSettings, [f"--flagfile={path}"])


def test_later_flags_win(tmp_path):
    path = tmp_path / "some.flags"
    path.write_text("# training\n--epochs=3\n\n--norandom_offset\n")
    settings = flags.parse(FitSettings, ["--epochs=1", "--flagfile", str(path), "--hop", "441"])
    assert (settings.epochs, settings.random_offset, settings.hop) == (3, False, 441)
    assert flags.parse(FitSettings, [f"--flagfile={path}", "--epochs=1"]).epochs == 1


@pytest.mark.parametrize("spelling", [["--flagfile=configs/vae.flags"], ["--flagfile", "configs/vae.flags"]])
def test_shipped_flag_files_are_found_from_any_folder(tmp_path, monkeypatch, spelling):
    from_checkout = flags.parse(FitSettings, spelling)
    monkeypatch.chdir(tmp_path)
    assert flags.parse(FitSettings, spelling) == from_checkout
    with pytest.raises(flags.FlagError):
        flags.parse(FitSettings, ["--flagfile=elsewhere/vae.flags"])


def test_a_flag_file_in_the_working_directory_goes_before_the_shipped_one(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "vae.flags").write_text("--latent_dim=7\n")
    monkeypatch.chdir(tmp_path)
    assert flags.parse(FitSettings, ["--flagfile=configs/vae.flags"]).latent_dim == 7


@pytest.mark.parametrize("settings_class", [FitSettings, EvaluateSettings, ReconstructSettings, ExportSettings])
def test_help_lists_every_flag_once_with_default_unit_and_choices(settings_class):
    text = flags.format_help(settings_class, "python -m trainers.x", "Does x.")
    assert max(map(len, text.splitlines())) <= flags.HELP_WIDTH
    for field in dataclasses.fields(settings_class):
        assert text.count(f"  --{field.name}=") == 1
        assert f"\n{field.metadata['group']}\n" in text
        assert all(choice in text for choice in field.metadata["choices"])
        assert f"[{field.metadata['unit']}]" in text or not field.metadata["unit"]


@pytest.mark.parametrize(
    "arguments",
    [["--model=vqvae"], ["--model", "vqvae"], ["--epochs=3", "--flagfile={}"], ["--flagfile={}", "--hop=1"]],
)
def test_the_family_decides_which_flags_there_are(tmp_path, arguments):
    path = tmp_path / "my.flags"
    path.write_text("--codebook_size=8\n--model=vqvae\n")
    settings = flags.parse(FitSettings, [argument.format(path) for argument in arguments])
    assert type(settings) is VQVAESettings and settings.model == "vqvae"
    with pytest.raises(flags.FlagError, match="codebook_size"):
        flags.parse(FitSettings, ["--model=vae", "--codebook_size=8"])
    with pytest.raises(flags.FlagError, match=r"--model must be one of vae, hvae, vqvae, vocoder, not 'gan'"):
        flags.parse(FitSettings, ["--model=gan"])


def test_settings_are_of_the_family_that_they_name():
    with pytest.raises(ValueError, match="--model=vqvae takes VQVAESettings, not VAESettings"):
        VAESettings(model="vqvae")


def test_left_out_flags_are_not_saved():
    assert "--fresh" not in flags.format_flags(VAESettings(fresh=True), leave_out=["fresh"])
