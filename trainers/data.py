"""From the flags of the group "data" to recordings and chunks."""

import dataclasses
import os

from keras_audio_vae import datasets
from keras_audio_vae.audio import Corpus
from keras_audio_vae.datasets import ChunkPipeline
from trainers import flags
from trainers.settings import FitSettings


def with_absolute_path(settings: FitSettings) -> FitSettings:
    """Makes `data` independent of the working directory, so that the saved flags name the same files from anywhere.

    Example:
        >>> with_absolute_path(FitSettings(data="fluidnotes")).data
        'fluidnotes'
    """
    if settings.data in datasets.EMBEDDED:
        return settings
    return dataclasses.replace(settings, data=os.path.abspath(os.path.expanduser(settings.data)))


def split(corpus: Corpus, settings: FitSettings) -> dict[str, Corpus]:
    """Divides the recordings into train, valid and test.

    Raises:
        FlagError: The two fractions leave nothing to train on.
    """
    with flags.checking_flags():
        return datasets.split(corpus, settings.valid_fraction, settings.test_fraction)


def chunk(corpus: Corpus, settings: FitSettings) -> ChunkPipeline:
    """Cuts recordings into chunks as the flags say."""
    return ChunkPipeline(
        corpus,
        sample_rate=settings.sample_rate,
        channels=settings.channels,
        chunk_samples=settings.chunk_samples,
        chunk_overlap=settings.chunk_overlap,
        normalization=settings.normalization,
        cache_gb=settings.cache_gb,
    )
