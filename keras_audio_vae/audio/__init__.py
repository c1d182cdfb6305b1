"""Sound files in and out: scan a corpus, decode, resample, set levels and channels, write."""

from keras_audio_vae.audio.corpus import Corpus, Recording, Skipped, scan
from keras_audio_vae.audio.decoding import DECODERS, decode, decode_file
from keras_audio_vae.audio.formats import SUPPORTED_FORMATS
from keras_audio_vae.audio.levels import NORMALIZATIONS, normalize, to_channels
from keras_audio_vae.audio.resampling import resample, resampled_length
from keras_audio_vae.audio.write import write_wav

__all__ = [
    "DECODERS",
    "NORMALIZATIONS",
    "SUPPORTED_FORMATS",
    "Corpus",
    "Recording",
    "Skipped",
    "decode",
    "decode_file",
    "normalize",
    "resample",
    "resampled_length",
    "scan",
    "to_channels",
    "write_wav",
]
