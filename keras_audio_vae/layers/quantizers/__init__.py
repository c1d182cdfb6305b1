"""Quantizers: vectors in, codes out, and what training has to know of them."""

from keras_audio_vae.layers.quantizers.residual import ResidualVectorQuantizer
from keras_audio_vae.layers.quantizers.result import Quantized
from keras_audio_vae.layers.quantizers.scalar import FiniteScalarQuantizer
from keras_audio_vae.layers.quantizers.vector import VectorQuantizer

__all__ = ["FiniteScalarQuantizer", "Quantized", "ResidualVectorQuantizer", "VectorQuantizer"]
