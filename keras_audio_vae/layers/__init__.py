"""The parts that models are built of."""

from keras_audio_vae.layers.blocks import ResidualBlock, Upsample
from keras_audio_vae.layers.gaussian import GaussianHead
from keras_audio_vae.layers.hierarchy import BottomUp, ConditionalGaussian, ResidualGaussianHead, TopDown
from keras_audio_vae.layers.network import AudioNetwork, Encoding
from keras_audio_vae.layers.projection import SkipProjection
from keras_audio_vae.layers.quantizers import (
    FiniteScalarQuantizer,
    Quantized,
    ResidualVectorQuantizer,
    VectorQuantizer,
)
from keras_audio_vae.layers.stacks import Decoder, Encoder
from keras_audio_vae.layers.top_prior import StandardPrior, VampPrior
from keras_audio_vae.layers.two_levels import Inference, Levels, TwoLevels
from keras_audio_vae.layers.vocoding import VocoderNetwork

__all__ = [
    "AudioNetwork",
    "BottomUp",
    "ConditionalGaussian",
    "Decoder",
    "Encoder",
    "Encoding",
    "FiniteScalarQuantizer",
    "GaussianHead",
    "Inference",
    "Levels",
    "Quantized",
    "ResidualBlock",
    "ResidualGaussianHead",
    "ResidualVectorQuantizer",
    "SkipProjection",
    "StandardPrior",
    "TopDown",
    "TwoLevels",
    "Upsample",
    "VampPrior",
    "VectorQuantizer",
    "VocoderNetwork",
]
