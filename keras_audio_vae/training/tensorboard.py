"""TensorBoard: every loss, the KL of each latent dimension, and fixed validation chunks to look at and listen to."""

import os
from collections.abc import Mapping

import keras
import tensorflow as tf

from keras_audio_vae.losses.spectral import magnitudes
from keras_audio_vae.training.averaging import averaged_weights
from keras_audio_vae.training.checkpoints import RunState
from keras_audio_vae.training.variables import scalar_of


class TensorBoardLog(keras.callbacks.Callback):
    """Writes a run to TensorBoard: losses every `every` steps and every epoch, the rest every epoch.

    Reconstructions are made with the averaged weights, as in the evaluation at the run's end.

    Args:
        folder: Where the event files go.
        state: The state of the run; its `step` is the horizontal axis.
        chunks: Waveform float32 [batch, samples, channels] of the chunks to look at, or None for losses only.
        every: Steps between two points of the training losses.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> log = TensorBoardLog(folder, RunState(step=50))
        >>> log.on_train_batch_end(0, {"loss": 1.0})
        >>> log.on_train_end()
        >>> len(os.listdir(folder))
        1
    """

    def __init__(
        self, folder: str | os.PathLike[str], state: RunState, chunks: tf.Tensor | None = None, every: int = 50
    ) -> None:
        """See the class."""
        super().__init__()
        self.state = state
        self.chunks = chunks
        self.every = every
        self.writer = tf.summary.create_file_writer(os.fspath(folder))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the losses now and then."""
        if self.state.step % self.every == 0:
            self._write_scalars("step", logs or {})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the losses of the epoch, and what the model does with the fixed chunks."""
        logs = dict(logs or {})
        logs["learning_rate"] = scalar_of(self.model.optimizer.learning_rate)
        self._write_scalars("epoch", logs)
        if self.chunks is not None:
            with averaged_weights(self.model), self.writer.as_default(step=self.state.step):
                self._write_chunks(self.chunks, first=epoch == 0)
        self.writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the event file."""
        self.writer.close()

    def _write_scalars(self, prefix: str, logs: Mapping[str, float]) -> None:
        with self.writer.as_default(step=self.state.step):
            for name, value in logs.items():
                tf.summary.scalar(f"{prefix}/{name}", value)

    def _write_chunks(self, chunks: tf.Tensor, first: bool) -> None:
        reconstruction = self.model.reconstruct(chunks)
        rate = int(self.model.sample_rate)
        if first:
            tf.summary.audio("original", _audible(chunks), rate, max_outputs=len(chunks))
        tf.summary.audio("reconstruction", _audible(reconstruction), rate, max_outputs=len(chunks))
        pictures = tf.concat([spectrogram_image(chunks), spectrogram_image(reconstruction)], axis=1)
        tf.summary.image("spectrogram (original above)", pictures, max_outputs=len(chunks))
        if hasattr(self.model, "kl_per_dimension"):
            kl = self.model.kl_per_dimension(chunks)
            levels = kl._asdict() if hasattr(kl, "_asdict") else {"": kl}  # a NamedTuple of levels, or the only one
            for name, level in levels.items():
                title = f"KL per dimension{name and f' of the {name}'}, nats per frame"
                tf.summary.histogram(title, tf.reduce_mean(level, axis=(0, 1)))


def spectrogram_image(waveform: tf.Tensor, window: int = 512, range_db: float = 80.0) -> tf.Tensor:
    """Draws log-magnitude spectrograms, loud = black, low frequencies at the bottom.

    Args:
        waveform: Float32 [batch, samples, channels]; the first channel is drawn.
        window: In samples; a quarter of it makes a column.
        range_db: How far below full scale white begins. The scale is absolute, so that two pictures compare.

    Returns:
        Float32 [batch, window / 2 + 1, ceil(4 samples / window), 1], 0 to 1.

    Example:
        >>> spectrogram_image(tf.zeros((2, 1024, 1))).shape.as_list()
        [2, 257, 8, 1]
    """
    amplitude = magnitudes(tf.cast(waveform[..., 0], tf.float32), window) * (4.0 / window)  # 1 for a sine of 1
    decibels = 20.0 * tf.math.log(tf.maximum(amplitude, 1e-8)) / tf.math.log(10.0)
    darkness = tf.clip_by_value(1.0 + decibels / range_db, 0.0, 1.0)
    return tf.reverse(tf.transpose(1.0 - darkness, (0, 2, 1)), axis=[1])[..., tf.newaxis]


def _audible(waveform: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.cast(waveform, tf.float32), -1.0, 1.0)
