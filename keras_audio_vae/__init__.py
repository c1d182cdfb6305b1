"""keras_audio_vae: variational autoencoders for sound in Keras.

Example:
    >>> import keras_audio_vae as kav
    >>> kav.VAE(widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4).latent_hop
    630
"""

from keras_audio_vae import audio, datasets, frontends, layers, losses, metrics, models, serving, training
from keras_audio_vae.errors import UserError
from keras_audio_vae.models import HVAE, VAE, VQVAE

__version__ = "0.1.0"

__all__ = [
    "HVAE",
    "VAE",
    "VQVAE",
    "UserError",
    "audio",
    "datasets",
    "frontends",
    "layers",
    "losses",
    "metrics",
    "models",
    "serving",
    "training",
]
