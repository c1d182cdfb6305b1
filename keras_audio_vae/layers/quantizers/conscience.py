"""A handicap for codes that are used more than others, so that all of them are used."""

import keras
import tensorflow as tf

from keras_audio_vae.layers.quantizers.running import RunningMean

LEAST_SHARE = 0.05  # of the even share: what nothing chooses is not drawn nearer without end; restarts are for that


@keras.saving.register_keras_serializable("keras_audio_vae")
class Conscience(keras.layers.Layer):
    """Squared distance that is added to a code for its share of the tokens.

    Where many dimensions leave all codes nearly as far from a token, a code that stands for many tokens is their mean,
    thus short, thus the nearest of still more tokens: few codes take them all. Here a code with the share p of the
    tokens, of K codes, is put back by strength * 2 s^2 ln(K p), where s^2 is the mean squared error of a dimension. (Of
    Gaussian clusters of that variance the likeliest one for a token is the one with the smallest squared distance
    minus 2 s^2 ln p; so this is what speaks for a frequent code, turned against it, at any scale and in any number of
    dimensions.)

    It belongs to the encoder: codes are chosen with it in training and in use, and decoded without.

    Args:
        strength: 0 chooses the nearest code.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> conscience = Conscience(strength=1.0)
        >>> conscience.update(tf.constant(0.5), counts=tf.constant(True))
        >>> conscience.handicaps(tf.constant([0.5, 0.25, 0.25, 0.0])).numpy().round(3)
        array([ 0.693,  0.   ,  0.   , -2.996], dtype=float32)

    Reference:
        DeSieno: Adding a Conscience to Competitive Learning, ICNN 1988; Ahalt et al.: Competitive Learning Algorithms
        for Vector Quantization, Neural Networks 1990 (frequency-sensitive).
    """

    def __init__(self, strength: float, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.strength = strength
        self.error = RunningMean()
        self.built = True

    def update(self, error: tf.Tensor, counts: tf.Tensor) -> None:
        """Takes the error of a training step in.

        Args:
            error: float32 scalar, squared and averaged over tokens and dimensions; the same on every replica.
            counts: bool scalar, False for a step that says nothing.
        """
        self.error.update(error, counts)

    def handicaps(self, shares: tf.Tensor) -> tf.Tensor:
        """What is added to the squared distance of each code.

        Args:
            shares: float32 [codes], each code's share of the tokens.

        Returns:
            float32 [codes], 0 for a code with its even share, and for all before the first step.
        """
        relative = tf.maximum(shares * tf.cast(tf.size(shares), tf.float32), LEAST_SHARE)
        return 2.0 * self.strength * self.error.value(otherwise=0.0) * tf.math.log(relative)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "strength": self.strength}
