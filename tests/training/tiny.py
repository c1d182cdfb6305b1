"""A real model and real recordings, as small as they get."""

from pathlib import Path

from keras_audio_vae import datasets
from keras_audio_vae.audio import scan
from keras_audio_vae.datasets import ChunkPipeline
from keras_audio_vae.models import VAE

DRUMS = Path(datasets.__file__).parent / "fluidnotes" / "drums"


def tiny_model() -> VAE:
    """One stage and no spectral losses, which take most of the time that tracing takes."""
    return VAE(
        widths=[8], depths=[1], strides=[], latent_dim=8, waveform_bands=4, mse_weight=10.0, stft_weight=0, mel_weight=0
    )


def tiny_pipeline(pattern: str) -> ChunkPipeline:
    return ChunkPipeline(scan(str(DRUMS / pattern)), chunk_samples=3150)
