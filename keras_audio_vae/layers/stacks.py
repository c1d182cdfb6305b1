"""Encoder and decoder: stages of residual blocks with strided convolutions, or their mirror, between them."""

import math
from collections.abc import Sequence

import keras

from keras_audio_vae.layers.blocks import ResidualBlock, Upsample


def check_stages(widths: Sequence[int], depths: Sequence[int], strides: Sequence[int]) -> None:
    """Raises a ValueError unless the lists describe the same stages."""
    if not len(widths) == len(depths) == len(strides) + 1:
        raise ValueError(
            f"widths {list(widths)} and depths {list(depths)} need one number per stage, and strides {list(strides)} "
            "one number for each step from a stage to the next."
        )
    if min(*widths, *strides, 1) < 1 or min(depths) < 0:
        raise ValueError(
            f"widths {list(widths)} and strides {list(strides)} must be at least 1, depths {list(depths)} at least 0."
        )


@keras.saving.register_keras_serializable("keras_audio_vae")
class Encoder(keras.layers.Layer):
    """Features to hidden frames at a lower rate: [batch, frames, bins] -> [batch, frames / prod(strides), widths[-1]].

    Args:
        widths: Channels of each stage.
        depths: Residual blocks of each stage.
        strides: Frame rate reduction from each stage to the next; the kernel is the stride, so frames must be a
            multiple.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If the three lists do not describe the same stages.

    Example:
        >>> Encoder(widths=[8, 16], depths=[1, 1], strides=[3])(keras.ops.ones([2, 105, 40])).shape
        TensorShape([2, 35, 16])
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], strides: Sequence[int], **kwargs) -> None:
        super().__init__(**kwargs)
        check_stages(widths, depths, strides)
        self.widths, self.depths, self.strides = list(widths), list(depths), list(strides)
        policy = self.dtype_policy
        self.steps: list[keras.layers.Layer] = [keras.layers.Dense(widths[0], dtype=policy)]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if stage:
                stride = strides[stage - 1]
                self.steps.append(keras.layers.Conv1D(width, stride, strides=stride, dtype=policy))
            self.steps += [ResidualBlock(width, dtype=policy) for _ in range(depth)]

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for inputs [batch, frames, bins]."""
        for step in self.steps:
            step.build(input_shape)
            input_shape = (*input_shape[:2], _width(step))

    def reach(self, hop: int) -> int:
        """Samples to either side that a hidden frame depends on, of frames of `hop` samples."""
        return _reach_of_blocks(hop, self.depths, self.strides)

    def call(self, features):
        """[batch, frames, bins] -> [batch, frames / prod(strides), widths[-1]]."""
        for step in self.steps:
            features = step(features)
        return features

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "widths": self.widths, "depths": self.depths, "strides": self.strides}


@keras.saving.register_keras_serializable("keras_audio_vae")
class Decoder(keras.layers.Layer):
    """The encoder's mirror: latents up to the frame rate of the features, where features of a draft are added if any.

    Args:
        widths: Channels of each stage, in the encoder's order (the decoder runs from the last to the first).
        depths: Residual blocks of each stage, in the encoder's order.
        strides: As the encoder's.
        upsampling: "nearest" or "transposed", see `Upsample`.
        takes_draft: Whether there are features of a draft.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If the three lists do not describe the same stages.

    Example:
        >>> decoder = Decoder(widths=[8, 16], depths=[1, 1], strides=[3])
        >>> decoder(keras.ops.ones([2, 35, 4]), keras.ops.ones([2, 105, 40])).shape
        TensorShape([2, 105, 8])
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        strides: Sequence[int],
        upsampling: str = "nearest",
        takes_draft: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_stages(widths, depths, strides)
        self.widths, self.depths, self.strides, self.upsampling = list(widths), list(depths), list(strides), upsampling
        self.takes_draft = takes_draft
        policy = self.dtype_policy
        self.slow: list[keras.layers.Layer] = [keras.layers.Dense(widths[-1], dtype=policy)]
        for stage in range(len(widths) - 1, 0, -1):
            self.slow += [ResidualBlock(widths[stage], dtype=policy) for _ in range(depths[stage])]
            self.slow.append(Upsample(widths[stage - 1], strides[stage - 1], upsampling, dtype=policy))
        self.draft = keras.layers.Dense(widths[0], dtype=policy) if takes_draft else None
        self.fast = [ResidualBlock(widths[0], dtype=policy) for _ in range(depths[0])]

    def build(self, latents_shape: tuple, draft_features_shape: tuple | None = None) -> None:
        """Creates the weights for latents [batch, frames, dim] and features [batch, frames * prod(strides), bins]."""
        for step in self.slow:
            step.build(latents_shape)
            latents_shape = (*latents_shape[:2], _width(step))
        if self.draft is not None:
            self.draft.build(draft_features_shape)
        for step in self.fast:
            step.build(latents_shape)

    def reach(self, hop: int) -> int:
        """Samples to either side that a frame depends on, of frames of `hop` samples; one frame for each upsampling."""
        stages = stage_hops(hop, self.strides)
        upsampling = sum(stages[1:] if self.upsampling == "transposed" else stages[:-1])
        return _reach_of_blocks(hop, self.depths, self.strides) + upsampling

    def call(self, latents, draft_features=None):
        """[batch, frames, dim], [batch, frames * prod(strides), bins] -> [batch, frames * prod(strides), widths[0]]."""
        for step in self.slow:
            latents = step(latents)
        if self.draft is not None:
            latents = latents + self.draft(draft_features)
        for step in self.fast:
            latents = step(latents)
        return latents

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {
            **super().get_config(),
            "widths": self.widths,
            "depths": self.depths,
            "strides": self.strides,
            "upsampling": self.upsampling,
            "takes_draft": self.takes_draft,
        }


def stage_hops(hop: int, strides: Sequence[int]) -> list[int]:
    """Samples per frame of each stage, the fastest first.

    Example:
        >>> stage_hops(210, [3, 2])
        [210, 630, 1260]
    """
    return [hop * math.prod(strides[:stage]) for stage in range(len(strides) + 1)]


def _reach_of_blocks(hop: int, depths: Sequence[int], strides: Sequence[int]) -> int:
    """A convolution of three frames reaches one frame, at its stage's rate."""
    return sum(depth * stage for depth, stage in zip(depths, stage_hops(hop, strides), strict=True))


def _width(step: keras.layers.Layer) -> int:
    for name in ("units", "filters", "width"):
        if hasattr(step, name):
            return getattr(step, name)
    raise TypeError(f"{step} has no width")
