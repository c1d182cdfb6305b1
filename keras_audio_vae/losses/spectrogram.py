"""The loss of models that predict a mel spectrogram."""

import dataclasses

import tensorflow as tf

from keras_audio_vae.frontends import MelFrontEnd
from keras_audio_vae.losses.masking import frame_mask, masked_mean
from keras_audio_vae.losses.terms import WeightedTerms

QUANTILE = 0.63  # 1 - 1/e: where the mean of an exponentially distributed power lies, that of a bin of noise


@dataclasses.dataclass(frozen=True)
class SpectrogramLoss(WeightedTerms):
    """What a predicted mel spectrogram is charged for, frame by frame.

    Attributes:
        frontend: Whose features are predicted; the sound's own are its too.
        mse_weight: Weight of the mean squared error of the standardised bands: the likelihood of the classical VAE. It
            blurs what it cannot place.
        mel_weight: Weight of the error of the bands in decades, with a band that is too soft charged 1.7 times as much
            as one that is too loud (twice the pinball loss of `QUANTILE`). The absolute error is smallest at the median
            of what is possible, which has less power than the mean: what cannot be foretold came out 4 dB too soft.

    Example:
        >>> loss = SpectrogramLoss(MelFrontEnd(bands=64), mse_weight=0.0, mel_weight=1.0)
        >>> sound = tf.random.stateless_normal([1, 4410, 1], seed=[0, 1])
        >>> terms = loss.terms(sound, loss.frontend.features(sound), tf.ones([1, 4410]))
        >>> {name: float(term[0]) for name, term in terms.items()}
        {'mel': 0.0}
    """

    frontend: MelFrontEnd
    mse_weight: float
    mel_weight: float

    @property
    def all_weights(self) -> dict[str, float]:
        """See `WeightedTerms`."""
        return {"mse": self.mse_weight, "mel": self.mel_weight}

    def terms(self, original: tf.Tensor, prediction: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `WeightedTerms`; the prediction is float32 [batch, ceil(samples / hop), channels * bands]."""
        own = self.frontend.features(original * mask[:, :, tf.newaxis])
        difference = prediction - own
        in_decades = difference * tf.tile(self.frontend.deviation, [self.frontend.channels])
        errors = {"mse": tf.square(difference), "mel": pinball(in_decades)}
        sounding = frame_mask(mask, self.frontend.hop)
        return {name: masked_mean(errors[name], sounding) for name in self.names}


def pinball(excess: tf.Tensor) -> tf.Tensor:
    """Error whose mean is smallest at `QUANTILE`; at 0.5 it would be the absolute one.

    Args:
        excess: float32 of any shape, by how much a prediction is too large.

    Returns:
        float32 of that shape, 0 or above.

    Example:
        >>> pinball(tf.constant([1.0, -1.0])).numpy().round(2)
        array([0.74, 1.26], dtype=float32)
    """
    return 2.0 * tf.maximum((1.0 - QUANTILE) * excess, -QUANTILE * excess)
