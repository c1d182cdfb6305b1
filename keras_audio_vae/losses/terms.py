"""A loss of several terms, each with a weight and a name by which it is logged."""

import abc

import tensorflow as tf


class WeightedTerms(abc.ABC):
    """A loss that is a weighted sum of named terms; a term of weight 0 is not computed.

    Example:
        >>> class Squares(WeightedTerms):
        ...     all_weights = {"mse": 2.0, "mel": 0.0}
        ...     def terms(self, original, prediction, mask):
        ...         return {"mse": tf.reduce_mean(tf.square(prediction - original), axis=[1, 2])}
        >>> loss = Squares()
        >>> loss.names, loss.total({"mse": tf.constant([3.0])}).numpy()
        (('mse',), array([6.], dtype=float32))
    """

    @property
    @abc.abstractmethod
    def all_weights(self) -> dict[str, float]:
        """The weight of each term that there is, by name."""

    @abc.abstractmethod
    def terms(self, original: tf.Tensor, prediction: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """The terms whose weight is not zero, before weighting.

        Args:
            original: float32 [batch, samples, channels].
            prediction: What the network makes of it: a waveform of that shape, or features.
            mask: float32 [batch, samples], 1 for sound, 0 for padding.

        Returns:
            Names to float32 [batch].
        """

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each term that is charged for, by name."""
        return {name: weight for name, weight in self.all_weights.items() if weight}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms that are charged for."""
        return tuple(self.weights)

    def total(self, terms: dict[str, tf.Tensor]) -> tf.Tensor:
        """The weighted sum of `terms`, of the shape of each."""
        return tf.add_n([self.weights[name] * term for name, term in terms.items()])
