"""The reconstruction loss: a weighted sum of distances on the waveform and on its spectra."""

import dataclasses

import tensorflow as tf

from keras_audio_vae.frontends.channels import to_mono_batch
from keras_audio_vae.losses.masking import masked_mean
from keras_audio_vae.losses.spectral import SILENCE, spectral_terms
from keras_audio_vae.losses.terms import WeightedTerms


@dataclasses.dataclass(frozen=True)
class ReconstructionLoss(WeightedTerms):
    """What a reconstruction is charged for, term by term.

    Attributes:
        sample_rate: In Hz.
        mse_weight: Weight of the mean squared error of the samples: the likelihood of the classical VAE. It is small
            where the sound is soft, and blurs what it cannot place.
        waveform_weight: Weight of the relative error |y - x| / |x|: the phase of the strongest partials, whatever the
            level.
        stft_weight: Weight of the multi-resolution STFT distance: magnitudes, the strong ones first.
        mel_weight: Weight of the mel distance: magnitudes in logarithms, as an ear hears them, the soft ones too.

    Example:
        >>> loss = ReconstructionLoss(22050, mse_weight=0.0, waveform_weight=1.0, stft_weight=0.0, mel_weight=0.0)
        >>> x = tf.ones([1, 441, 1])
        >>> {name: round(float(term[0]), 3) for name, term in loss.terms(x, 0.5 * x, tf.ones([1, 441])).items()}
        {'waveform': 0.5}
    """

    sample_rate: int
    mse_weight: float
    waveform_weight: float
    stft_weight: float
    mel_weight: float

    @property
    def all_weights(self) -> dict[str, float]:
        """See `WeightedTerms`."""
        return {
            "mse": self.mse_weight,
            "waveform": self.waveform_weight,
            "stft": self.stft_weight,
            "mel": self.mel_weight,
        }

    def terms(self, original: tf.Tensor, prediction: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `WeightedTerms`; what the mask leaves out of the predicted waveform is not heard."""
        kept = mask[:, :, tf.newaxis]
        original, estimate = original * kept, prediction * kept
        makers = {"mse": _mean_squared_error, "waveform": _relative_error}
        terms = {name: maker(original, estimate, mask) for name, maker in makers.items() if name in self.names}
        if "stft" in self.names or "mel" in self.names:
            spectral = self._spectral_terms(original, estimate, mask)
            terms |= {name: term for name, term in spectral.items() if name in self.names}
        return terms

    def _spectral_terms(self, original: tf.Tensor, estimate: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        channels = original.shape[-1]
        rows = to_mono_batch(original), to_mono_batch(estimate), tf.repeat(mask, channels, axis=0)
        terms = spectral_terms(*rows, self.sample_rate)._asdict()
        return {name: tf.reduce_mean(tf.reshape(term, [-1, channels]), axis=-1) for name, term in terms.items()}


def _mean_squared_error(original: tf.Tensor, estimate: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return masked_mean(tf.square(estimate - original), mask)


def _relative_error(original: tf.Tensor, estimate: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    floor = SILENCE * tf.reduce_sum(mask, axis=1) + 1e-6
    error = tf.reduce_sum(tf.square(estimate - original), axis=[1, 2])
    return tf.sqrt(error + 1e-6) / tf.sqrt(tf.reduce_sum(tf.square(original), axis=[1, 2]) + floor)
