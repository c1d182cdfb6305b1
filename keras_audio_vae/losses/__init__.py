"""What a model is trained to make small: reconstruction losses and the price of the latents."""

from keras_audio_vae.losses.coarse import CoarseOutline
from keras_audio_vae.losses.rate import RateControl
from keras_audio_vae.losses.reconstruction import ReconstructionLoss
from keras_audio_vae.losses.spectral import SpectralTerms, spectral_terms

__all__ = ["CoarseOutline", "RateControl", "ReconstructionLoss", "SpectralTerms", "spectral_terms"]
