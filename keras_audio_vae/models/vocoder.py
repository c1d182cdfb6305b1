"""The vocoder: mel bands back to the waveform, trained on its own and then put behind models of mel bands."""

from typing import Any

import keras
import tensorflow as tf

from keras_audio_vae.losses.magnitudes import MagnitudeLoss
from keras_audio_vae.models.arguments import VOCODER_NETWORK, check_arguments, make_vocoder_network
from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.batches import Batch


@keras.saving.register_keras_serializable("keras_audio_vae")
class Vocoder(AudioAutoencoder):
    """A model whose latents are a mel spectrogram: nothing to learn on the way in, all of it on the way back.

    It trains, evaluates, reconstructs and exports as the autoencoders do; its reconstructions are what the conversion
    to mel bands and back costs. It has no prior, so nothing can be drawn from it.

    Args:
        sample_rate: In Hz.
        channels: Channels of every waveform.
        hop: Samples per frame of the mel bands; 441 gives 50 frames per second at 22,050 Hz.
        n_fft: Their window in samples; 1,764 resolve the narrowest of 256 bands.
        mel_bands: Their number.
        iterations: Of the search for phases. 14 are about where more would take longer than they are worth.
        width: Channels of the residual blocks, see `VocoderNetwork`.
        depth: Their number.
        convergence_weight: Weight of the relative error of the magnitudes, the loud ones; see `MagnitudeLoss`.
        log_magnitude_weight: Weight of the error of their logarithms, every bin alike.
        clipnorm: Largest norm of the global gradient; 0 for no clipping.
        seed: Of what is random in training.
        **kwargs: Those of `keras.Model`.

    Raises:
        ValueError: If the arguments do not fit each other; the message names them.

    Example:
        >>> vocoder = Vocoder(width=8, depth=1, mel_bands=64)
        >>> sound = tf.random.stateless_normal([2, 10000, 1], seed=[0, 1])
        >>> vocoder.encode(sound).shape, vocoder.reconstruct(sound).shape
        (TensorShape([2, 23, 64]), TensorShape([2, 10000, 1]))
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        channels: int = 1,
        hop: int = 441,
        n_fft: int = 1764,
        mel_bands: int = 256,
        iterations: int = 14,
        width: int = 256,
        depth: int = 4,
        convergence_weight: float = 1.0,
        log_magnitude_weight: float = 1.0,
        clipnorm: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        config = {
            "sample_rate": sample_rate, "channels": channels, "hop": hop, "n_fft": n_fft, "mel_bands": mel_bands,
            "iterations": iterations, "width": width, "depth": depth, "convergence_weight": convergence_weight,
            "log_magnitude_weight": log_magnitude_weight, "clipnorm": clipnorm, "seed": seed,
        }  # fmt: skip
        weights = ("convergence_weight", "log_magnitude_weight")
        check_arguments(config, counts=("width",), amounts=("iterations", "depth", *weights))
        network = make_vocoder_network(config, kwargs.get("dtype"))
        loss = MagnitudeLoss(n_fft, hop, convergence_weight, log_magnitude_weight)
        super().__init__(config, network, loss, latent_dim=channels * mel_bands, log_names=loss.names, **kwargs)
        self.build()

    def encode_padded(self, waveform: tf.Tensor) -> tf.Tensor:
        """Standardised mel bands."""
        return self.network.encode(waveform)

    def objective(self, batch: Batch, step, training: bool) -> dict[str, tf.Tensor]:
        """Reconstruction terms and their sum."""
        mean = self.reconstruction_terms(batch, self.network.encode(batch.waveform))
        return {"loss": self.reconstruction_loss.total(mean), **mean}


def with_vocoder(model: AudioAutoencoder, vocoder: Vocoder) -> AudioAutoencoder:
    """A copy of a model of mel bands whose waveforms a vocoder makes; neither is changed, nor trained further by it.

    Args:
        model: With frontend="mel", trained or not.
        vocoder: For bands of the same rate, hop, window and number.

    Returns:
        A model of the same family with the weights of both.

    Raises:
        ValueError: If the model predicts no mel bands, or others than the vocoder's.

    Example:
        >>> from keras_audio_vae.models import VAE
        >>> mel = {"hop": 441, "n_fft": 1764, "mel_bands": 64}
        >>> small = {"widths": [8, 8], "depths": [1, 1], "strides": [3], "latent_dim": 4}
        >>> no_phase = {"waveform_bands": 0, "waveform_weight": 0, "stft_weight": 0}
        >>> model = VAE(frontend="mel", **mel, **small, **no_phase)
        >>> better = with_vocoder(model, Vocoder(**mel, width=8, depth=1))
        >>> better.reconstruct(tf.zeros([1, 1000, 1])).shape
        TensorShape([1, 1000, 1])
    """
    if not model.predicts_spectrogram:
        raise ValueError("A vocoder is for models with frontend=mel; this one makes the waveform itself.")
    config, of_vocoder = model.get_config(), vocoder.get_config()
    copy = type(model).from_config({**config, "vocoder": {name: of_vocoder[name] for name in VOCODER_NETWORK}})
    _copy_weights(_own_weights(model), _own_weights(copy))
    _copy_weights(vocoder.network.weights, _vocoder_weights(copy))
    return copy


def _vocoder_weights(model: AudioAutoencoder) -> list[keras.Variable]:
    vocoder = getattr(model.network, "vocoder", None)
    return [] if vocoder is None else vocoder.weights


def _own_weights(model: AudioAutoencoder) -> list[keras.Variable]:
    """All weights but the vocoder's, if there is one."""
    foreign = {id(weight) for weight in _vocoder_weights(model)}
    return [weight for weight in model.weights if id(weight) not in foreign]


def _copy_weights(sources: list[keras.Variable], targets: list[keras.Variable]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.assign(source)
