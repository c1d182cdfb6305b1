"""Sound files in and out: scan a corpus, decode, resample, set levels and channels, write."""

from keras_audio_vae.audio.corpus import Corpus, Recording, Skipped, scan
from keras_audio_vae.audio.decoding import decode, decode_file
from keras_audio_vae.audio.formats import SUPPORTED_FORMATS, printable
from keras_audio_vae.audio.headers import DECODERS
from keras_audio_vae.audio.levels import NORMALIZATIONS, normalize, to_channels
from keras_audio_vae.audio.resampling import resample, resampled_length
from keras_audio_vae.audio.streaming import SoundStream, blocks, usable_part
from keras_audio_vae.audio.write import WavWriter, write_wav

__all__ = [
    "DECODERS",
    "NORMALIZATIONS",
    "SUPPORTED_FORMATS",
    "Corpus",
    "Recording",
    "Skipped",
    "SoundStream",
    "WavWriter",
    "blocks",
    "decode",
    "decode_file",
    "normalize",
    "printable",
    "resample",
    "resampled_length",
    "scan",
    "to_channels",
    "usable_part",
    "write_wav",
]
