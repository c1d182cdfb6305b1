"""Waveform <-> features: the invertible layers at either end of a model."""

from keras_audio_vae.frontends.frontend import FrontEnd
from keras_audio_vae.frontends.lapped import LappedTransform
from keras_audio_vae.frontends.mel import MelFrontEnd
from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.frontends.stft import STFTFrontEnd
from keras_audio_vae.frontends.waveform import WaveformFrontEnd

__all__ = ["FrontEnd", "LappedTransform", "MelFrontEnd", "STFTFrontEnd", "WaveformFrontEnd", "mel_matrix"]
