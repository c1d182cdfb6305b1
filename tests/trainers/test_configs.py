import inspect

import numpy as np
import pytest

from keras_audio_vae import datasets, models, training
from trainers import flags
from trainers.settings import FitSettings

SHIPPED = sorted(flags.shipped_flagfiles())


def settings_of(name):
    return flags.parse(FitSettings, [f"--flagfile=configs/{name}"])


def test_the_promised_variants_are_shipped():
    assert {"vae.flags", "vae_mse.flags"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_variant_builds_and_keeps_any_length(name):
    settings = settings_of(name)
    model = models.VAE(**settings.model_arguments())
    assert settings.chunk_samples % model.latent_hop == 0
    waveform = np.zeros((1, settings.chunk_samples + 1, settings.channels), np.float32)
    assert model.reconstruct(waveform).shape == waveform.shape


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_variant_ends_and_writes_to_a_folder_of_its_own_name(name):
    settings = settings_of(name)
    assert settings.epochs or settings.max_minutes
    assert settings.run_dir == f"runs/{name.removesuffix('.flags')}"


def test_the_model_takes_exactly_what_the_flags_give():
    taken = [name for name, p in inspect.signature(models.VAE).parameters.items() if p.kind is not p.VAR_KEYWORD]
    assert sorted(set(taken) - {"name"}) == sorted(FitSettings().model_arguments())


def test_every_option_of_a_training_run_is_a_flag():
    options = set(inspect.signature(training.FitOptions).parameters) - {"augmentation"}
    assert options <= set(vars(FitSettings()))


def test_every_augmentation_is_a_flag():
    assert set(inspect.signature(datasets.Augmentation).parameters) == set(FitSettings().augmentation_arguments())
