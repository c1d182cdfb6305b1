"""How a recording reaches a model, and how the sound that comes out of it is written."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_audio_vae import audio
from keras_audio_vae.datasets.reading import Reader
from trainers.settings import FitSettings


class Heard:
    """A recording as a model hears it: at the model's rate and channels, levelled, read by stretches.

    Args:
        recording: What is heard.
        settings: The flags of the run.

    Attributes:
        samples: Its length at the model's rate.
        gain: What its own level is multiplied by.
    """

    def __init__(self, recording: audio.Recording, settings: FitSettings) -> None:
        """See the class."""
        corpus = audio.Corpus((recording,))
        self._reader = Reader(corpus, settings.sample_rate, settings.channels, settings.normalization)
        self.samples, self.gain = int(self._reader.lengths[0]), float(self._reader.gains[0])

    def read(self, start: int, count: int) -> np.ndarray:
        """A stretch: float32 [1, count, channels]."""
        return self._reader.read(0, start, count)[np.newaxis]


def write_blocks(
    path: Path, blocks: Iterable[tf.Tensor], *, sample_rate: int, channels: int, samples: int, gain: float
) -> str:
    """Writes what a model gives as a WAV file, block by block.

    Args:
        path: The WAV file.
        blocks: float32 [1, samples of the block, channels] each.
        sample_rate: In Hz.
        channels: Of every block.
        samples: Of all blocks together.
        gain: What the recording's own level was multiplied by for the model; the sound gets its level back.

    Returns:
        Its duration, and how much was clipped, in words.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.wav")
        >>> write_blocks(path, [tf.ones([1, 8000, 1])], sample_rate=8000, channels=1, samples=8000, gain=0.5)
        '1.00 s, 8000 samples clipped'
    """
    with audio.WavWriter(path, sample_rate, channels, samples) as writer:
        for block in blocks:
            writer.write(block.numpy()[0] / gain)
    return f"{samples / sample_rate:.2f} s" + (f", {writer.clipped} samples clipped" if writer.clipped else "")
