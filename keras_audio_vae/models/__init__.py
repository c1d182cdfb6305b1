"""The models, each short: what they share stands in `AudioAutoencoder`."""

from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.blockwise import reconstruct_blocks
from keras_audio_vae.models.vae import VAE

__all__ = ["VAE", "AudioAutoencoder", "reconstruct_blocks"]
