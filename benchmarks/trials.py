"""One training and one measurement, of which benchmarks make their rows."""

import tempfile
from collections.abc import Sequence
from typing import Any

import keras

from keras_audio_vae import metrics, models, training
from keras_audio_vae.datasets import ChunkPipeline
from trainers import fit
from trainers.settings import FitSettings


def train(settings: FitSettings, pipeline: ChunkPipeline, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Any:
    """The model of the settings, trained as they say and left without a trace on the disk."""
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory() as folder:
        return training.fit(
            lambda: models.FAMILIES[settings.model](**settings.model_arguments()),
            pipeline,
            run_dir=folder,
            options=fit.fit_options(settings),
            callbacks=callbacks,
            verbose=0,
        ).model


def measure(model: Any, pipeline: ChunkPipeline) -> metrics.Report:
    """The measures of whole recordings, without baselines."""
    recordings = ((entry.recording_id, waveform) for entry, waveform, _ in pipeline.recordings())
    return metrics.evaluate(model, recordings, baselines={})
