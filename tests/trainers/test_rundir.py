import dataclasses

import keras
import numpy as np
import pytest

from keras_audio_vae.errors import UserError
from trainers import flags, rundir
from trainers.settings import FitSettings, VAESettings


@pytest.fixture
def run(tmp_path):
    return rundir.RunDirectory(tmp_path / "runs" / "a")


def trained(run, settings):
    run.prepare(settings)
    run.checkpoints.mkdir()
    return settings


def test_saved_flags_repeat_the_run(run):
    settings = VAESettings(latent_dim=8, widths=(16,), strides=(), depths=(1,))
    run.prepare(settings)
    assert run.settings() == settings
    assert flags.parse(FitSettings, [f"--flagfile={run.flags}"]) == settings


def test_a_run_of_other_flags_is_refused_and_named(run):
    settings = trained(run, VAESettings(latent_dim=8))
    with pytest.raises(UserError, match=r"--latent_dim 8 -> 9.*--fresh"):
        run.prepare(dataclasses.replace(settings, latent_dim=9))
    assert run.settings() == settings


def test_a_run_may_go_on_for_longer(run):
    settings = dataclasses.replace(trained(run, VAESettings(epochs=1)), epochs=2, replicas=2, listen=0)
    run.prepare(settings)
    assert run.settings() == settings and run.checkpoints.is_dir()


def test_flags_of_a_run_that_never_trained_do_not_bind(run):
    run.prepare(VAESettings(latent_dim=8))
    run.prepare(VAESettings(latent_dim=9))
    assert run.settings().latent_dim == 9


def test_fresh_deletes_the_run_and_nothing_else(run):
    settings = trained(run, VAESettings(latent_dim=8))
    (run.checkpoints / "last.npz").touch()
    (run.path / "my_notes.txt").write_text("mine")
    run.prepare(dataclasses.replace(settings, latent_dim=9, fresh=True))
    assert sorted(path.name for path in run.path.iterdir()) == ["my_notes.txt", "run.flags"]
    assert run.settings() == VAESettings(latent_dim=9)


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", ["export", "listen", "log.csv"])
def test_what_no_run_wrote_is_neither_deleted_nor_replaced(tmp_path, name, fresh):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("years of work")
    run = rundir.RunDirectory(tmp_path)
    with pytest.raises(UserError, match=rf"holds no run \(no run\.flags\), but has {name}"):
        run.prepare(VAESettings(fresh=fresh))
    assert [path.name for path in tmp_path.rglob("*")] == [name, "mine"]


def test_fresh_in_an_empty_folder_begins_a_run(tmp_path):
    run = rundir.RunDirectory(tmp_path)
    run.prepare(VAESettings(latent_dim=8, fresh=True))
    assert run.settings() == VAESettings(latent_dim=8)


def test_fresh_that_was_killed_while_deleting_can_be_repeated(run, monkeypatch):
    trained(run, VAESettings(latent_dim=8))
    run.export.mkdir()

    def delete_one_and_die(path):
        path.rmdir()
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(rundir.shutil, "rmtree", delete_one_and_die)
        run.prepare(VAESettings(latent_dim=9, fresh=True))
    run.prepare(VAESettings(latent_dim=9, fresh=True))
    assert [path.name for path in run.path.iterdir()] == ["run.flags"]


def test_a_check_touches_nothing(run):
    settings = trained(run, VAESettings(latent_dim=8))
    run.check(dataclasses.replace(settings, latent_dim=9, fresh=True))
    with pytest.raises(UserError, match="latent_dim 8 -> 9"):
        run.check(dataclasses.replace(settings, latent_dim=9))
    assert run.settings() == settings and run.checkpoints.is_dir()


def damaged(good, how):
    """Bytes of a model file in which something is wrong."""
    middle = len(good) // 2
    return {
        "empty": b"",
        "truncated": good[:middle],
        "overwritten": good[: middle - 500] + bytes(1000) + good[middle + 500 :],
        "without its directory": good[:-200],
    }[how]


@pytest.mark.parametrize("how", ["empty", "truncated", "overwritten", "without its directory"])
def test_a_damaged_model_is_named_with_the_way_to_mend_it(run, how):
    run.prepare(VAESettings())
    layers = [keras.Input((8,)), keras.layers.Dense(300, kernel_initializer="random_normal")]
    run.save_model(keras.Sequential(layers))
    assert np.shape(run.load_model().weights[0]) == (8, 300)
    run.model.write_bytes(damaged(run.model.read_bytes(), how))
    with pytest.raises(UserError, match=r"model\.keras cannot be read.*trainers\.fit with --flagfile=.*run\.flags"):
        run.load_model()


def test_folders_that_are_no_finished_run_are_named(run, tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        run.settings()
    run.prepare(VAESettings())
    with pytest.raises(UserError, match="has not ended"):
        run.load_model()
    run.model.write_bytes(b"noise")
    with pytest.raises(UserError, match="cannot be read"):
        run.load_model()
    run.flags.write_text("--nosuch=1\n")
    with pytest.raises(UserError, match=r"run\.flags cannot be read.*nosuch"):
        run.settings()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run cannot be written"):
        rundir.RunDirectory(tmp_path / "file" / "run").prepare(VAESettings())


def test_contents_are_listed_as_far_as_they_are_there(run):
    run.prepare(VAESettings())
    assert run.contents().splitlines() == [f"{run.flags}  every flag of the run: --flagfile={run.flags} repeats it"]
