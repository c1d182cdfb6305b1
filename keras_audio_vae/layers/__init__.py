"""The parts that models are built of."""

from keras_audio_vae.layers.blocks import ResidualBlock, Upsample
from keras_audio_vae.layers.gaussian import GaussianHead
from keras_audio_vae.layers.network import AudioNetwork, Encoding
from keras_audio_vae.layers.projection import SkipProjection
from keras_audio_vae.layers.quantizers import (
    FiniteScalarQuantizer,
    Quantized,
    ResidualVectorQuantizer,
    VectorQuantizer,
)
from keras_audio_vae.layers.stacks import Decoder, Encoder

__all__ = [
    "AudioNetwork",
    "Decoder",
    "Encoder",
    "Encoding",
    "FiniteScalarQuantizer",
    "GaussianHead",
    "Quantized",
    "ResidualBlock",
    "ResidualVectorQuantizer",
    "SkipProjection",
    "Upsample",
    "VectorQuantizer",
]
