"""What a front end is: the two layers at either end of a network, between waveform and features."""

from typing import Protocol

import tensorflow as tf


class FrontEnd(Protocol):
    """Waveform to features for an encoder, and a decoder's outputs back to a waveform.

    Attributes:
        hop: Samples from one feature frame to the next.
        output_bins: Numbers per frame that `synthesize` takes.
    """

    hop: int
    output_bins: int

    def features(self, waveform: tf.Tensor) -> tf.Tensor:
        """Features of a waveform: float32 [batch, samples, channels] -> [batch, ceil(samples / hop), bins]."""
        ...

    def synthesize(self, outputs: tf.Tensor, draft: tf.Tensor) -> tf.Tensor:
        """The waveform that a network's outputs make of a draft.

        Args:
            outputs: float32 [batch, frames, output_bins]; all zero leaves the draft as it is.
            draft: float32 [batch, frames * hop, channels], what is already known of the waveform; silence if nothing
                is.

        Returns:
            float32 [batch, frames * hop, channels].
        """
        ...
