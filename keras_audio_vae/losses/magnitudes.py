"""The loss of vocoders, which predict the magnitudes of a spectrum."""

import dataclasses

import tensorflow as tf

from keras_audio_vae.frontends.channels import channels_to_bins, to_mono_batch
from keras_audio_vae.frontends.signal import stft
from keras_audio_vae.losses.masking import frame_mask
from keras_audio_vae.losses.spectral import SILENCE, convergence, log_distance
from keras_audio_vae.losses.terms import WeightedTerms

FLOOR = 1e-5  # of a magnitude in logarithms: 100 dB below a bin of white noise of variance 1


@dataclasses.dataclass(frozen=True)
class MagnitudeLoss(WeightedTerms):
    """What predicted magnitudes are charged for.

    Attributes:
        n_fft: Window of the spectrum in samples.
        hop: Samples from one frame to the next.
        convergence_weight: Weight of the spectral convergence, |Y - X| / |X| of all magnitudes of a sound: the loud
            bins.
        log_magnitude_weight: Weight of the mean difference of the natural logarithms: every bin alike.

    Example:
        >>> loss = MagnitudeLoss(840, 210, convergence_weight=1.0, log_magnitude_weight=1.0)
        >>> sound = tf.random.stateless_normal([1, 4200, 1], seed=[0, 1])
        >>> terms = loss.terms(sound, 2.0 * tf.abs(stft(sound[..., 0], 840, 210)), tf.ones([1, 4200]))
        >>> {name: round(float(term[0]), 2) for name, term in terms.items()}
        {'convergence': 1.0, 'log_magnitude': 0.69}
    """

    n_fft: int
    hop: int
    convergence_weight: float
    log_magnitude_weight: float

    @property
    def all_weights(self) -> dict[str, float]:
        """See `WeightedTerms`."""
        return {"convergence": self.convergence_weight, "log_magnitude": self.log_magnitude_weight}

    def terms(self, original: tf.Tensor, prediction: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `WeightedTerms`; the prediction is float32 [batch, frames, channels * (n_fft // 2 + 1)]."""
        spectrum = stft(to_mono_batch(original * mask[:, :, tf.newaxis]), self.n_fft, self.hop)
        own = channels_to_bins(tf.abs(spectrum), original.shape[-1])
        frames = frame_mask(mask, self.hop)
        silence = SILENCE * own.shape[-1] * tf.reduce_sum(frames, axis=1)  # the energy of noise of that power
        terms = {
            "convergence": convergence(own, prediction, frames, silence),
            "log_magnitude": log_distance(own, prediction, frames, FLOOR),
        }
        return {name: terms[name] for name in self.names}
