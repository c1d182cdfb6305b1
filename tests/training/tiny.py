"""A real model and real recordings, as small as they get."""

from pathlib import Path

from keras_audio_vae import datasets
from keras_audio_vae.audio import scan
from keras_audio_vae.datasets import ChunkPipeline
from keras_audio_vae.models import VAE

DRUMS = Path(datasets.__file__).parent / "fluidnotes" / "drums"
TINY = {"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4}


def tiny_model(**arguments) -> VAE:
    return VAE(**{**TINY, **arguments})


def tiny_pipeline(pattern: str) -> ChunkPipeline:
    return ChunkPipeline(scan(str(DRUMS / pattern)), chunk_samples=3150)
