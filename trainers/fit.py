"""Trains a model: `python -m trainers.fit --flagfile=configs/vae.flags`."""

import dataclasses
import functools
import sys
from typing import TYPE_CHECKING

from trainers import command, flags
from trainers.settings import AutoencoderSettings, FitSettings

if TYPE_CHECKING:
    from keras_audio_vae import models
    from keras_audio_vae.training import FitOptions


def main(settings: FitSettings) -> None:
    """Scans the data, trains, saves, exports, evaluates, and lists what the run directory holds."""
    from keras_audio_vae import datasets, models, serving, training
    from trainers import data, evaluate, rundir

    # The CPU can be split into replicas only before TensorFlow computes anything, so before any sound is decoded.
    strategy = training.make_strategy(settings.replicas)
    training.check_strategy(strategy, batch_size=settings.batch_size, jit_compile=settings.jit_compile)
    settings = data.with_absolute_paths(settings)
    corpus = data.load(settings.data, settings)
    print(corpus.report(), flush=True)
    parts = data.split(corpus, settings)
    print("  " + ", ".join(f"{name}: {len(part.recordings)}" for name, part in parts.items()), flush=True)

    vocoder = load_vocoder(settings)

    def build_model() -> models.AudioAutoencoder:
        with flags.checking_flags():
            model = models.FAMILIES[settings.model](**settings.model_arguments())
            return model if vocoder is None else models.with_vocoder(model, vocoder)

    pipeline = data.chunk(parts["train"], settings)
    if pipeline.num_quiet:
        print(f"  left out below {settings.min_chunk_dbfs} dBFS: {pipeline.num_quiet} chunks", flush=True)
    if settings.fresh:
        build_model()  # flags that make no model must not cost the run that is there
    run = rundir.RunDirectory(settings.run_dir)
    run.prepare(settings)
    rundir.write_text(run.corpus, corpus.to_json())
    result = training.fit(
        build_model,
        pipeline,
        run_dir=run.path,
        options=fit_options(settings),
        valid_pipeline=data.chunk(parts["valid"], settings) if parts["valid"].recordings else None,
    )
    model = training.inference_copy(result.model)
    run.save_model(model)
    serving.export(model, run.export / "1")
    name, corpus = datasets.evaluation_part(parts)
    evaluate.measure(model, name, corpus, settings, output=run.path, listen=settings.listen)
    print(f"\n{run.contents()}")


def load_vocoder(settings: FitSettings) -> "models.Vocoder | None":
    """Loads the vocoder that the flags name, if they do.

    Raises:
        UserError: There is no such run, or it is one of another family.
    """
    from keras_audio_vae import models
    from keras_audio_vae.errors import UserError
    from trainers import rundir

    if not isinstance(settings, AutoencoderSettings) or not settings.vocoder:
        return None
    vocoder = rundir.RunDirectory(settings.vocoder).load_model()
    if not isinstance(vocoder, models.Vocoder):
        family = type(vocoder).__name__
        raise UserError(f"--vocoder={settings.vocoder} is the run of a {family}: name one of --model=vocoder")
    return vocoder


def fit_options(settings: FitSettings) -> "FitOptions":
    """Selects what `training.fit` is told."""
    from keras_audio_vae import datasets, training

    names = [field.name for field in dataclasses.fields(training.FitOptions) if field.name != "augmentation"]
    return training.FitOptions(
        augmentation=datasets.Augmentation(**settings.augmentation_arguments()),
        **{name: getattr(settings, name) for name in names},
    )


cli = functools.partial(
    command.run,
    main,
    FitSettings,
    name="trainers.fit",
    purpose="Trains a model on sound; the same command again goes on with a run that was stopped.",
)


if __name__ == "__main__":
    sys.exit(cli())
