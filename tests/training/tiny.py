"""A real model and real recordings, as small as they get."""

from pathlib import Path

from keras_audio_vae import datasets
from keras_audio_vae.audio import scan
from keras_audio_vae.datasets import ChunkPipeline
from keras_audio_vae.models import VAE

DRUMS = Path(datasets.__file__).parent / "fluidnotes" / "drums"


def tiny_model() -> VAE:
    """A step of it is traced in a third of the time that the spectral losses would take."""
    return VAE(
        widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4, mse_weight=10.0, stft_weight=0.0, mel_weight=0.0
    )


def tiny_pipeline(pattern: str) -> ChunkPipeline:
    return ChunkPipeline(scan(str(DRUMS / pattern)), chunk_samples=3150)
