"""A loss of several terms, each with a weight and a name by which it is logged."""

import abc

import tensorflow as tf


class WeightedTerms(abc.ABC):
    """A loss that is a weighted sum of named terms; a term of weight 0 is not computed.

    Those that are made are frozen dataclasses with a field NAME_weight for each term.

    Raises:
        ValueError: If all weights are 0: it would train nothing.

    Example:
        >>> class Squares(WeightedTerms):
        ...     all_weights = {"mse": 2.0, "mel": 0.0}
        ...     def terms(self, original, prediction, mask):
        ...         return {"mse": tf.reduce_mean(tf.square(prediction - original), axis=[1, 2])}
        >>> loss = Squares()
        >>> loss.names, loss.total({"mse": tf.constant([3.0])}).numpy()
        (('mse',), array([6.], dtype=float32))
    """

    def __post_init__(self) -> None:
        """Refuses a loss of no term."""
        if not self.weights:
            *others, last = (f"{name}_weight" for name in self.all_weights)
            quantity = "both" if len(others) == 1 else "all"
            raise ValueError(f"{', '.join(others)} and {last} must not {quantity} be 0.")

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
