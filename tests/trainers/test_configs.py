import inspect

import pytest

from keras_audio_vae import datasets, models, training
from trainers import flags
from trainers.fit import fit_options
from trainers.settings import FitSettings, VAESettings

SHIPPED = sorted(flags.shipped_flagfiles())


def settings_of(name):
    return flags.parse(FitSettings, [f"--flagfile=configs/{name}"])


def test_the_promised_variants_are_shipped():
    assert {
        *("vae.flags", "vae_mse.flags", "hvae.flags", "vqvae.flags", "vqvae_single.flags", "fsq.flags"),
        *("vae_mel128.flags", "vae_mel256.flags", "hvae_mel.flags", "vqvae_mel.flags", "vocoder.flags"),
    } == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_variant_builds_and_its_chunks_are_whole_frames(name):
    settings = settings_of(name)
    model = models.FAMILIES[settings.model](**settings.model_arguments())
    assert settings.chunk_samples % model.latent_hop == 0


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_variant_writes_to_a_folder_of_its_own_name(name):
    assert settings_of(name).run_dir == f"runs/{name.removesuffix('.flags')}"


def defaults_of(thing):
    """The arguments of a library call that have a default, as JSON values."""
    found = {name: p.default for name, p in inspect.signature(thing).parameters.items() if p.default is not p.empty}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_flags_are_what_the_model_takes_with_its_defaults(family):
    settings = flags.parse(FitSettings, [f"--model={family}"])
    defaults = defaults_of(models.FAMILIES[family])
    defaults.pop("vocoder", None)  # the flag of that name is the folder of a run
    assert settings.model_arguments() == defaults


def test_the_options_of_a_training_run_are_flags_with_the_same_defaults():
    assert fit_options(VAESettings()) == training.FitOptions()
    assert defaults_of(training.make_optimizer).items() <= vars(training.FitOptions()).items()


def test_the_augmentations_are_flags_with_the_same_defaults():
    assert datasets.Augmentation(**VAESettings().augmentation_arguments()) == datasets.Augmentation()
    assert set(defaults_of(datasets.Augmentation)) == set(VAESettings().augmentation_arguments())


def test_the_chunks_are_cut_by_flags_with_the_same_defaults():
    elsewhere = {"min_chunk_dbfs"}  # a flag cannot be None
    defaults = {name: value for name, value in defaults_of(datasets.ChunkPipeline).items() if name not in elsewhere}
    assert defaults.items() <= vars(VAESettings()).items()
