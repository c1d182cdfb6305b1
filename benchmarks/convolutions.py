"""Convolutions over mel frames, or over mel bands too: python -m benchmarks.convolutions --minutes=4.

The models of mel bands take a frame's bands as channels and convolve over time alone. Here the same VAE is trained for
the same time with a spectrogram as a picture of one channel instead, convolved over time and bands, and both are
measured on the validation recordings.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any
from unittest import mock

import keras

from benchmarks import trials
from benchmarks.machine import describe_machine
from keras_audio_vae.layers import network
from keras_audio_vae.layers.stacks import Decoder, Encoder
from keras_audio_vae.metrics.evaluation import SPECTROGRAM
from trainers import data
from trainers.flags import parse
from trainers.settings import FitSettings

CHANNELS = (32, 64)  # of the picture's two stages; with them a step takes about as long as that of the models shipped
BANDS_PER_ROW, ROWS_MERGED = 4, 2  # in the first stage, and of its rows in one of the second


class PictureBlock(keras.layers.Layer):
    """`ResidualBlock` for pictures: [batch, frames, rows, channels] -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = keras.layers.Conv2D(channels, 3, padding="same", activation="silu")
        self.projection = keras.layers.Dense(channels)
        self.scale = self.add_weight(shape=(channels,), initializer=keras.initializers.Constant(0.1))

    def call(self, inputs):
        """Adds the branch."""
        return inputs + self.scale * self.projection(self.convolution(inputs))


class PictureEncoder(Encoder):
    """`Encoder` of two stages whose hidden frames come from a picture."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], strides: Sequence[int], **kwargs: Any) -> None:
        super().__init__(widths, depths, strides, **kwargs)
        (fast, slow), (stride,), (few, many) = self.depths, self.strides, CHANNELS
        self.steps = [
            keras.layers.Conv2D(few, (1, BANDS_PER_ROW), strides=(1, BANDS_PER_ROW)),
            *(PictureBlock(few) for _ in range(fast)),
            keras.layers.Conv2D(many, (stride, ROWS_MERGED), strides=(stride, ROWS_MERGED)),
            *(PictureBlock(many) for _ in range(slow)),
        ]
        self.to_hidden = keras.layers.Dense(self.widths[-1])

    def build(self, input_shape: tuple) -> None:
        """Nothing: the steps build themselves."""

    def call(self, features):
        """[batch, frames, bands] -> [batch, frames / stride, widths[-1]]."""
        return self.to_hidden(flat(super().call(features[..., None])))


class PictureDecoder(Decoder):
    """`Decoder`, the mirror of `PictureEncoder`; its frames are pictures' columns, all their rows in one vector."""

    bands = 128  # `main` sets those of the flag file

    def __init__(self, widths: Sequence[int], depths: Sequence[int], strides: Sequence[int], *args: Any, **kwargs: Any):
        super().__init__(widths, depths, strides, *args, **kwargs)
        (fast, slow), (stride,), (few, many) = self.depths, self.strides, CHANNELS
        self.rows = self.bands // (BANDS_PER_ROW * ROWS_MERGED)
        self.from_latents = keras.layers.Dense(self.rows * many)
        self.slow = [
            *(PictureBlock(many) for _ in range(slow)),
            keras.layers.UpSampling2D((stride, ROWS_MERGED)),
            keras.layers.Conv2D(few, 3, padding="same"),
        ]
        self.fast = [PictureBlock(few) for _ in range(fast)]

    def build(self, latents_shape: tuple, draft_features_shape: tuple | None = None) -> None:
        """Nothing: the steps build themselves."""

    def call(self, latents, draft_features=None):
        """[batch, frames, dim] -> [batch, frames * stride, bands / 4 * 32]."""
        picture = keras.ops.reshape(self.from_latents(latents), [*keras.ops.shape(latents)[:2], self.rows, CHANNELS[1]])
        return flat(super().call(picture))


def flat(picture):
    """[batch, frames, rows, channels] -> [batch, frames, rows * channels]."""
    return keras.ops.reshape(picture, [*keras.ops.shape(picture)[:2], math.prod(picture.shape[2:])])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flagfile", default="configs/vae_mel128.flags", help="what is trained")
    parser.add_argument("--minutes", type=float, default=4.0, help="of each training (4)")
    arguments = parser.parse_args()
    settings = parse(FitSettings, [f"--flagfile={arguments.flagfile}", f"--max_minutes={arguments.minutes}"])
    parts = data.split(data.load(settings.data, settings), settings)
    pipelines = {name: data.chunk(parts[name], settings) for name in ("train", "valid")}
    PictureDecoder.bands = settings.mel_bands
    print(f"{describe_machine()}\n\n| convolutions over | steps | spectrogram | mel | STFT | weights |")
    print("|---|---|---|---|---|---|")
    for name, encoder, decoder in (
        ("time", Encoder, Decoder),
        ("time and bands", PictureEncoder, PictureDecoder),
    ):
        with mock.patch.object(network, "Encoder", encoder), mock.patch.object(network, "Decoder", decoder):
            model = trials.train(settings, pipelines["train"])
        report = trials.measure(model, pipelines["valid"])
        distances = (report.summary(measure).mean for measure in (SPECTROGRAM, "mel distance", "STFT distance"))
        figures = " | ".join(f"{value:.3f}" for value in distances)
        print(f"| {name} | {int(model.optimizer.iterations)} | {figures} | {model.count_params():,} |", flush=True)


if __name__ == "__main__":
    main()
