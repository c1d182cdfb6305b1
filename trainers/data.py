"""From the flags of the group "data" to recordings and chunks."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_audio_vae import datasets
from keras_audio_vae.audio import Corpus
from keras_audio_vae.datasets import ChunkPipeline, records
from keras_audio_vae.errors import UserError
from trainers import flags
from trainers.settings import AutoencoderSettings, FitSettings


def with_absolute_paths(settings: FitSettings) -> FitSettings:
    """Makes the paths independent of the working directory, so that the saved flags name the same files from anywhere.

    Example:
        >>> with_absolute_paths(FitSettings(data="fluidnotes")).data
        'fluidnotes'
    """

    def absolute(path: str) -> str:
        return os.path.abspath(os.path.expanduser(path))

    data = settings.data if settings.data in datasets.EMBEDDED else absolute(settings.data)
    split_by = absolute(settings.split_by) if settings.split_by.lower().endswith(".csv") else settings.split_by
    if isinstance(settings, AutoencoderSettings) and settings.vocoder:
        settings = dataclasses.replace(settings, vocoder=absolute(settings.vocoder))
    return dataclasses.replace(settings, data=data, split_by=split_by)


def load(source: str, settings: FitSettings) -> Corpus:
    """Finds the recordings.

    Those of a record store have splits already. If the flags would make others, a printed line says which hold.

    Args:
        source: What `--data` can be.
        settings: The flags of the group "data".

    Raises:
        UserError: There is no usable sound, or not only such and the flags are strict, or a record store of another
            sample rate or number of channels.
    """
    corpus = datasets.load(source, strict=settings.strict, cache=scan_cache(settings.scan_cache))
    if records.is_store(os.path.expanduser(source)):
        made_with = records.read_manifest(os.path.expanduser(source))["settings"]
        _refuse_other_settings(source, made_with, settings)
        _tell_other_division(source, made_with, settings)
    return corpus


def scan_cache(folder: str) -> str | None:
    """The folder of the scan's cache: what `--scan_cache` says, by default the user's folder of caches.

    Example:
        >>> scan_cache("/tmp/cache"), scan_cache("0")
        ('/tmp/cache', None)
    """
    if folder:
        return None if folder == "0" else os.path.expanduser(folder)
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "keras_audio_vae")


def _refuse_other_settings(store: str, made_with: Mapping[str, Any], settings: FitSettings) -> None:
    """Raises a UserError if a record store was not prepared for these flags."""
    differing = [
        f"--{name}: the store has {made_with[name]}, the flags say {getattr(settings, name)}"
        for name in ("sample_rate", "channels")
        if made_with[name] != getattr(settings, name)
    ]
    if differing:
        raise UserError(f"{store} was prepared with other settings ({'; '.join(differing)}): prepare another store")


def _tell_other_division(store: str, made_with: Mapping[str, Any], settings: FitSettings) -> None:
    """Prints a line if a record store was divided otherwise than these flags would."""
    if settings.split_by != "digest":
        return  # it is divided anew, by folder or table
    differing = [
        f"{name} is {made_with[name]} there, and --{name} is {getattr(settings, name)}"
        for name in ("split_by", "valid_fraction", "test_fraction")
        if made_with.get(name, getattr(settings, name)) != getattr(settings, name)
    ]
    if differing:
        print(f"{store}: the record store's own division is used ({'; '.join(differing)})", flush=True)


def split(corpus: Corpus, settings: FitSettings) -> dict[str, Corpus]:
    """Divides the recordings into train, valid and test.

    Raises:
        FlagError: The two fractions leave nothing to train on.
    """
    with flags.checking_flags():
        return datasets.split(corpus, settings.valid_fraction, settings.test_fraction, settings.split_by)


def chunk(corpus: Corpus, settings: FitSettings) -> ChunkPipeline:
    """Cuts recordings into chunks as the flags say."""
    return ChunkPipeline(
        corpus,
        sample_rate=settings.sample_rate,
        channels=settings.channels,
        chunk_samples=settings.chunk_samples,
        chunk_overlap=settings.chunk_overlap,
        normalization=settings.normalization,
        min_chunk_dbfs=settings.min_chunk_dbfs or None,
        keep_quiet=settings.keep_quiet,
        cache_gb=settings.cache_gb,
    )
