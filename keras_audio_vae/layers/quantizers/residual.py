"""Several codebooks, each of which says what the ones before left over."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_audio_vae.layers.quantizers.codebook import DROPPING
from keras_audio_vae.layers.quantizers.result import Quantized
from keras_audio_vae.layers.quantizers.tokens import as_columns, as_vectors
from keras_audio_vae.layers.quantizers.vector import Found, VectorQuantizer, as_weights
from keras_audio_vae.layers.replicas import own_rows


@keras.saving.register_keras_serializable("keras_audio_vae")
class ResidualVectorQuantizer(keras.layers.Layer):
    """Replaces each vector by a sum of learnt ones, one of each codebook.

    Each codebook quantises what the ones before left over, so that the first codes are worth most, and any first few
    give a coarser vector. The gradient passes once, from the sum to the inputs: through each stage it would be counted
    several times or, where residuals are taken from the passed-on vectors, cancel what later codebooks have to say of
    the encoder (see facebookresearch/encodec, issue 25). The losses of each stage reach the inputs directly.

    With `code_dim` every codebook has linear maps of its own, which have to learn: there the gradient follows the chain
    of maps and residuals, each choice of a code passed by `gradient`, as if the codes were exact.

    An adaptive commitment divides by the variance of what is quantised, the inputs: a later stage, whose errors are
    smaller, weighs less. With `code_dim` each stage divides by that of its own projection.

    Args:
        num_codebooks: Stages.
        codebook_size: Codes of each: one number, or one for each codebook, of which the last holds for all that follow.
            The first codebook tells kinds of sound apart; where the recordings to be coded hold few kinds each, a
            smaller one is used in full.
        dim: Of the vectors.
        quantizer_dropout: Share of the training examples that use only the first few codebooks, a random number of
            them: the first codebooks then learn to serve alone, and a model can be run at a lower rate. 0.5 in DAC,
            arXiv 2306.06546. It costs quality at the full rate.
        seed: Of all that is random.
        **kwargs: `VectorQuantizer`'s options, by name, and those of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of its range, or codes of length 1 have no `code_dim`.

    Example:
        >>> quantizer = ResidualVectorQuantizer(num_codebooks=3, codebook_size=16, dim=8)
        >>> codes = quantizer.encode(tf.ones([2, 35, 8]))
        >>> codes.shape, quantizer.decode(codes).shape, quantizer.decode(codes[..., :1]).shape
        (TensorShape([2, 35, 3]), TensorShape([2, 35, 8]), TensorShape([2, 35, 8]))

    Reference:
        Zeghidour et al.: SoundStream: An End-to-End Neural Audio Codec, arXiv 2107.03312.
    """

    measure_names = VectorQuantizer.measure_names

    def __init__(
        self,
        num_codebooks: int,
        codebook_size: int | Sequence[int],
        dim: int,
        quantizer_dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ) -> None:
        options = {name: kwargs.pop(name) for name in VectorQuantizer.OPTIONS if name in kwargs}
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_codebooks < 1 or not 0.0 <= quantizer_dropout <= 1.0:
            raise ValueError(
                "num_codebooks must be at least 1 and quantizer_dropout between 0 and 1, "
                f"not {num_codebooks} and {quantizer_dropout}."
            )
        if options.get("normalize") and options.get("code_dim") is None:
            raise ValueError("Codes of length 1 can't say how large a residual is: with normalize give a code_dim.")
        sizes = _size_of_each(codebook_size, num_codebooks)
        self.dim, self.quantizer_dropout, self.seed = dim, quantizer_dropout, seed
        self.factorised = options.get("code_dim") is not None
        self.stages = [
            VectorQuantizer(size, dim, seed=seed + number, name=f"{self.name}_{number}", **options)
            for number, size in enumerate(sizes)
        ]
        of_stages = self.stages[0].get_config()
        self._config = {
            "num_codebooks": num_codebooks, "codebook_size": as_sizes(codebook_size), "dim": dim,
            "quantizer_dropout": quantizer_dropout, "seed": seed,
            **{name: of_stages[name] for name in VectorQuantizer.OPTIONS},
        }  # fmt: skip
        self.supports_masking = True  # a mask of padding is heeded, and goes on with the vectors
        self.built = True

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes each codebook has."""
        return tuple(stage.codebook.size for stage in self.stages)

    @property
    def usage(self) -> tuple[tf.Tensor, ...]:
        """Running histogram of each codebook, float32 [codebook_size]: counts of the latest steps."""
        return tuple(use for stage in self.stages for use in stage.usage)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that a call returns."""
        return self.stages[0].loss_names

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> Quantized:
        """Quantises vectors; in training, moves the codes.

        Args:
            inputs: float32 [batch, frames, dim], finite.
            mask: float32 [batch, frames], 1 for what counts, 0 for padding; None if everything does.
            training: Whether the codes move, and examples drop codebooks.

        Returns:
            Vectors, codes (of all codebooks, also of those that an example dropped), losses added up over the
            codebooks, and measures of each.

        Raises:
            ValueError: If the inputs have another shape or are no floats.
            tf.errors.InvalidArgumentError: In training, if the inputs are not finite; it names the layer, and nothing
                has moved. XLA leaves the error out, not the rest.
        """
        inputs = as_vectors(inputs, self.dim, self.name)
        weights = as_weights(inputs, mask)
        active = self._active(inputs, training)
        total, path, ready = tf.zeros_like(inputs), inputs, tf.constant(True)
        found: list[Found] = []
        for number, stage in enumerate(self.stages):
            counted = tf.where(ready, weights * active[:, number, tf.newaxis], 0.0)
            variance = found[0].variance if found and not self.factorised else None
            encodings = stage.project_in(inputs - tf.stop_gradient(total))
            found.append(stage.find(encodings, counted, training, variance))
            ready = tf.logical_and(ready, found[-1].ready)
            share = found[-1].quantized
            if self.factorised:
                share = stage.project_out(stage.estimator(stage.project_in(path), share))
            share *= active[:, number, tf.newaxis, tf.newaxis]
            total, path = total + share, path - share
        vectors = total if self.factorised else self.stages[0].estimator(inputs, total)
        quantized = _together(vectors, found)
        if training:
            self.add_loss(list(quantized.losses.values()))
        return quantized

    def _active(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        """Which codebooks an example uses, float32 [batch, codebooks]: all, or in training maybe the first few."""
        rows, books = tf.shape(inputs)[0], len(self.stages)
        if not (training and self.trainable and self.quantizer_dropout):
            return tf.ones([rows, books])
        seed = self.stages[0].codebook.step_seed(DROPPING)
        drawn = own_rows(lambda count: tf.random.stateless_uniform([count, 2], seed), rows)
        few = 1 + tf.cast(drawn[:, 1] * books, tf.int32)
        prefix = tf.where(drawn[:, 0] < self.quantizer_dropout, few, books)
        return tf.sequence_mask(prefix, books, tf.float32)

    def encode(self, inputs: tf.Tensor) -> tf.Tensor:
        """The codes of vectors.

        Args:
            inputs: float [batch, frames, dim].

        Returns:
            int32 [batch, frames, codebooks].
        """
        residual, codes = as_vectors(inputs, self.dim, self.name), []
        for stage in self.stages:
            codes.append(stage.encode(residual))
            residual -= stage.vectors_of(codes[-1][..., 0])
        return tf.concat(codes, axis=-1)

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes.

        Args:
            codes: int [batch, frames, codebooks], or those of the first codebooks alone, which gives a coarser vector.

        Returns:
            float32 [batch, frames, dim].
        """
        codes, books = as_columns(codes, self.codebook_sizes, 1, self.name), len(self.stages)
        given = tf.shape(codes)[-1]  # a graph may be one for any number of them
        used = tf.unstack(tf.sequence_mask(given, books, tf.float32))
        columns = tf.unstack(tf.pad(codes, [[0, 0], [0, 0], [0, books - given]]), books, axis=-1)
        return tf.add_n(
            [share * stage.vectors_of(column) for stage, share, column in zip(self.stages, used, columns, strict=True)]
        )

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), **self._config}


def as_sizes(codebook_size: int | Sequence[int]) -> list[int]:
    """One size, or several, as a list.

    Example:
        >>> as_sizes(32), as_sizes((16, 32))
        ([32], [16, 32])
    """
    return [codebook_size] if isinstance(codebook_size, int) else list(codebook_size)


def _size_of_each(codebook_size: int | Sequence[int], num_codebooks: int) -> list[int]:
    given = as_sizes(codebook_size)
    if not 1 <= len(given) <= num_codebooks:
        raise ValueError(f"codebook_size must be one number, or up to num_codebooks = {num_codebooks}, not {given}.")
    return given + [given[-1]] * (num_codebooks - len(given))


def _together(vectors: tf.Tensor, found: list[Found]) -> Quantized:
    """One result of all stages: losses added up, measures side by side."""
    return Quantized(
        vectors,
        tf.stack([each.codes for each in found], axis=-1),
        {name: tf.add_n([each.losses[name] for each in found]) for name in found[0].losses},
        {name: tf.stack([each.measures[name] for each in found]) for name in found[0].measures},
    )
