"""The models, each short: what they share stands in `AudioAutoencoder`."""

from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.blockwise import decode_blocks, encode_blocks, reconstruct_blocks
from keras_audio_vae.models.hvae import HVAE
from keras_audio_vae.models.vae import VAE
from keras_audio_vae.models.vocoder import Vocoder, with_vocoder
from keras_audio_vae.models.vqvae import VQVAE

FAMILIES = {"vae": VAE, "hvae": HVAE, "vqvae": VQVAE, "vocoder": Vocoder}
"""The models by the name of their family, as flags know them."""

__all__ = [
    "FAMILIES",
    "HVAE",
    "VAE",
    "VQVAE",
    "AudioAutoencoder",
    "Vocoder",
    "decode_blocks",
    "encode_blocks",
    "reconstruct_blocks",
    "with_vocoder",
]
