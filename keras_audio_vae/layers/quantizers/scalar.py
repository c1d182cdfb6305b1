"""Codes without a codebook: every dimension rounded to a few levels."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_audio_vae.layers.normalization import FrameNormalization
from keras_audio_vae.layers.quantizers.estimators import straight_through
from keras_audio_vae.layers.quantizers.projections import make_projections
from keras_audio_vae.layers.quantizers.result import Quantized
from keras_audio_vae.layers.quantizers.tokens import (
    Tokens,
    as_columns,
    as_tokens,
    as_vectors,
    counted_rows,
    require_finite,
)
from keras_audio_vae.layers.quantizers.usage import Usage
from keras_audio_vae.layers.quantizers.vector import as_weights
from keras_audio_vae.layers.replicas import replica_sum

MOST_CODES = 2**24  # of a group: codes are int32, and a count of each is kept
SLACK = 1e-3  # how far the bounded values reach beyond the outermost level, which could not be reached otherwise
MOST_SLACK = 0.25  # in levels: half a level beyond is the next one, which is none


@keras.saving.register_keras_serializable("keras_audio_vae")
class FiniteScalarQuantizer(keras.layers.Layer):
    """Rounds every dimension of a vector to one of a few levels.

    A dimension is bounded by a tanh to the range of its levels and rounded, and the digits of `len(levels)` dimensions
    make a code. There is no codebook to learn, and no auxiliary loss. It needs more dimensions than a learnt codebook
    to say as much in few codes, and catches up above 2^10 or so.

    Any rate is reached by `num_codebooks` groups of dimensions side by side, all of the same levels: 4 groups of
    (8, 5, 5, 5) are about 40 bits a frame. Groups are simpler than stages of residuals: every digit is on its own, no
    stage waits for another and no scale has to be chosen for it.

    It computes in float32 whatever the global policy.

    Args:
        dim: Of the vectors. If it is not num_codebooks * len(levels), learnt linear maps lead there and back.
        levels: Of each dimension of a code, from 2. The paper recommends (8, 6, 5) for 2^8 codes, (8, 5, 5, 5) for
            2^10 and (7, 5, 5, 5, 5) for 2^12: at least 5 of each.
        num_codebooks: Groups of dimensions, each with its code.
        normalize: Whether each dimension is brought to mean 0 and deviation 1 before it is bounded, which uses its
            levels about equally. Without, as in the paper, an encoder can drive values to the ends of the tanh, where
            they all have the same code and no gradient comes back (benchmarks/RESULTS.md).
        seed: Of the linear maps.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> quantizer = FiniteScalarQuantizer(dim=2, levels=[3, 5])
        >>> vectors = tf.constant([[[0.1, -9.0], [2.0, 0.9]]])
        >>> quantizer(vectors).vectors.numpy().tolist()  # 3 levels are -1, 0, 1; 5 are -1, -0.5, 0, 0.5, 1
        [[[0.0, -1.0], [1.0, 0.5]]]
        >>> quantizer.encode(vectors).numpy().ravel()
        array([ 1, 11], dtype=int32)

    Reference:
        Mentzer et al.: Finite Scalar Quantization: VQ-VAE Made Simple, ICLR 2024, arXiv 2309.15505.
    """

    loss_names = ()
    measure_names = ("perplexity", "usage", "error")

    def __init__(
        self,
        dim: int,
        levels: Sequence[int] = (8, 5, 5, 5),
        num_codebooks: int = 1,
        normalize: bool = True,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not levels or min(levels) < 2 or num_codebooks < 1:
            raise ValueError(
                f"levels must be numbers from 2 and num_codebooks at least 1, not {levels} and {num_codebooks}."
            )
        if math.prod(levels) > MOST_CODES:
            raise ValueError(f"levels {list(levels)} make more than {MOST_CODES} codes: use several num_codebooks.")
        self.dim, self.levels, self.num_codebooks, self.seed = dim, tuple(levels), num_codebooks, seed
        width = num_codebooks * len(self.levels)
        self.projection_in = self.projection_out = None
        if dim != width:
            self.projection_in, self.projection_out = make_projections(dim, width, seed)
        self.normalization = FrameNormalization() if normalize else None
        if self.normalization is not None:
            self.normalization.build((None, None, width))
        self.histograms = [Usage(size) for size in self.codebook_sizes]
        self.supports_masking = True  # a mask of padding is heeded, and goes on with the vectors
        self.built = True

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes each group has."""
        return (math.prod(self.levels),) * self.num_codebooks

    @property
    def usage(self) -> tuple[tf.Tensor, ...]:
        """Running histogram of each group, float32 [codes]: counts of the latest steps."""
        return tuple(tf.convert_to_tensor(histogram.histogram) for histogram in self.histograms)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> Quantized:
        """Quantises vectors; in training, counts the codes.

        Args:
            inputs: float32 [batch, frames, dim], finite.
            mask: float32 [batch, frames], 1 for what counts, 0 for padding; None if everything does.
            training: Whether the codes are counted, and the statistics of `normalize` are those of this batch.

        Returns:
            Vectors (with a straight-through gradient), codes, no losses, and measures.

        Raises:
            ValueError: If the inputs have another shape or are no floats.
            tf.errors.InvalidArgumentError: In training, if the inputs are not finite; it names the layer. XLA leaves
                the error out.
        """
        inputs = as_vectors(inputs, self.dim, self.name)
        tokens = as_tokens(inputs, as_weights(inputs, mask))
        counted = tf.reshape(tokens.weights, tf.shape(inputs)[:2])
        if training:
            require_finite(tokens, self.name)
            inputs = tf.where(counted[:, :, tf.newaxis] > 0.0, inputs, 0.0)  # what does not count may be NaN
        bounded = self._bound(inputs, counted, training and self.trainable)
        rounded = tf.round(bounded)
        codes = self._number(rounded)
        if training and self.trainable:
            self._count(codes, tokens.weights)
        vectors = self._project_out(self._scaled(straight_through(bounded, rounded)))
        tokens = tokens._replace(values=counted_rows(tf.stop_gradient(bounded), tokens.weights))
        return Quantized(vectors, codes, {}, self._measures(tokens, rounded))

    def encode(self, inputs: tf.Tensor) -> tf.Tensor:
        """The codes of vectors.

        Args:
            inputs: float [batch, frames, dim].

        Returns:
            int32 [batch, frames, codebooks].
        """
        return self._number(tf.round(self._bound(as_vectors(inputs, self.dim, self.name))))

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes.

        Args:
            codes: int [batch, frames, codebooks].

        Returns:
            float32 [batch, frames, dim].
        """
        codes = as_columns(codes, self.codebook_sizes, self.num_codebooks, self.name)
        levels, places = self._levels_and_places()
        digits = codes[..., tf.newaxis] // places % levels
        rounded = tf.cast(digits - levels // 2, tf.float32)
        return self._project_out(self._scaled(self._flat(rounded)))

    def _bound(self, inputs: tf.Tensor, counted: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """Values whose rounding has as many results as the dimension has levels: [batch, frames, width]."""
        values = inputs if self.projection_in is None else self.projection_in(inputs)
        if self.normalization is not None:
            values = self.normalization(values, counted, training=training)
        levels = np.tile(np.array(self.levels, np.float64), self.num_codebooks)
        half = (levels - 1) / 2 + np.minimum(SLACK * (levels - 1) / 2, MOST_SLACK)
        offset = np.where(levels % 2 == 0, 0.5, 0.0)
        shift = np.arctanh(offset / half)
        return tf.tanh(values + shift.astype(np.float32)) * half.astype(np.float32) - offset.astype(np.float32)

    def _scaled(self, rounded: tf.Tensor) -> tf.Tensor:
        """Whole numbers as values from -1 to 1."""
        return rounded / np.tile(np.array(self.levels) // 2, self.num_codebooks).astype(np.float32)

    def _project_out(self, values: tf.Tensor) -> tf.Tensor:
        return values if self.projection_out is None else self.projection_out(values)

    def _number(self, rounded: tf.Tensor) -> tf.Tensor:
        """Whole numbers [batch, frames, width] as one code per group."""
        levels, places = self._levels_and_places()
        digits = tf.cast(self._grouped(rounded), tf.int32) + levels // 2
        return tf.reduce_sum(digits * places, axis=-1)

    def _levels_and_places(self) -> tuple[np.ndarray, np.ndarray]:
        """What each digit of a code counts to, and what it is worth: int32 [digits]."""
        levels = np.array(self.levels, np.int32)
        return levels, np.cumprod([1, *self.levels[:-1]]).astype(np.int32)

    def _grouped(self, values: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(values)
        return tf.reshape(values, [shape[0], shape[1], self.num_codebooks, len(self.levels)])

    def _flat(self, values: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(values)
        return tf.reshape(values, [shape[0], shape[1], self.num_codebooks * len(self.levels)])

    def _count(self, codes: tf.Tensor, weights: tf.Tensor) -> None:
        rows = tf.reshape(codes, [-1, self.num_codebooks])
        counts = [tf.math.unsorted_segment_sum(weights, rows[:, i], size) for i, size in enumerate(self.codebook_sizes)]
        for histogram, count in zip(self.histograms, replica_sum(counts), strict=True):
            histogram.update(count)

    def _measures(self, tokens: Tokens, rounded: tf.Tensor) -> dict[str, tf.Tensor]:
        width = rounded.shape[-1]
        [mean] = tokens.means([tokens.values])
        errors = tf.square(tokens.values - tf.reshape(rounded, [-1, width]))
        error, variance = tokens.means([errors, tf.square(tokens.values - mean)])
        per_group = [tf.reduce_sum(tf.reshape(each, [self.num_codebooks, -1]), axis=-1) for each in (error, variance)]
        return {
            "perplexity": tf.stack([histogram.perplexity() for histogram in self.histograms]),
            "usage": tf.stack([histogram.share_used() for histogram in self.histograms]),
            "error": tf.stop_gradient(tf.math.divide_no_nan(*per_group)),
        }

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "levels": list(self.levels),
            "num_codebooks": self.num_codebooks,
            "normalize": self.normalization is not None,
            "seed": self.seed,
        }
