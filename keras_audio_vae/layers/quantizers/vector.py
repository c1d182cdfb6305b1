"""One codebook: the quantizer of the VQ-VAE."""

from typing import NamedTuple

import keras
import tensorflow as tf

from keras_audio_vae.layers.quantizers.codebook import Codebook, look_up
from keras_audio_vae.layers.quantizers.commitment import bounded, floored
from keras_audio_vae.layers.quantizers.conscience import Conscience
from keras_audio_vae.layers.quantizers.estimators import ESTIMATORS
from keras_audio_vae.layers.quantizers.evenness import unevenness
from keras_audio_vae.layers.quantizers.nearest import nearest_codes
from keras_audio_vae.layers.quantizers.projections import make_projections
from keras_audio_vae.layers.quantizers.result import Quantized
from keras_audio_vae.layers.quantizers.running import RunningMean
from keras_audio_vae.layers.quantizers.tokens import (
    Tokens,
    as_columns,
    as_tokens,
    as_vectors,
    counted_rows,
    require_finite,
)

CHOICES = {"update": ("ema", "gradient"), "gradient": tuple(ESTIMATORS), "commitment": ("adaptive", "constant")}


class Found(NamedTuple):
    """What a codebook says to encodings.

    Attributes:
        quantized: float32 [batch, frames, code_dim], without a gradient.
        codes: int32 [batch, frames].
        losses: Scalars by name, weighted.
        measures: float32 scalars by name.
        ready: bool scalar, False in training before the codes have been placed.
        variance: float32 scalar, the running variance of the encodings.
    """

    quantized: tf.Tensor
    codes: tf.Tensor
    losses: dict[str, tf.Tensor]
    measures: dict[str, tf.Tensor]
    ready: tf.Tensor
    variance: tf.Tensor


@keras.saving.register_keras_serializable("keras_audio_vae")
class VectorQuantizer(keras.layers.Layer):
    """Replaces each vector by the nearest of `codebook_size` learnt ones, or with `conscience` by one nearly as near.

    It computes in float32 whatever the global policy (on a GPU whose TensorFlow multiplies in TF32, as it does by
    default, distances have its 10 bits, and a token between two codes may get the other one than on a CPU).

    Cost: 2 * tokens * codebook_size * code_dim operations. Memory: 512 * codebook_size float32 for the distances,
    however many tokens there are (with `evenness_weight` in training tokens * codebook_size), and with `kmeans_init` a
    state of 4 * codebook_size * code_dim float32.

    Its measures: "perplexity" and "usage" (share of the codes that were chosen) of about the last hundred steps;
    "error", the squared error of this batch over the variance of what the codebook was given; "commitment_weight", by
    which the squared error is multiplied; "dead", codes used less than `restart_threshold` says, and "restarts", how
    many of them this step restarted.

    In training every replica moves its codes by the counts and sums of the global batch, and draws the same random
    numbers, so that the codes stay equal. With `trainable=False`, and outside training, nothing moves. Padding, a batch
    of padding alone and an empty one move nothing either.

    Args:
        codebook_size: Codes, K.
        dim: Of the vectors.
        update: "ema" moves each code to the average of the tokens that choose it: no step size to find, and no
            optimizer that would disturb it. "gradient" learns the codes by the loss "codebook", the squared distance to
            their tokens (van den Oord et al. 2017, equation 3): slower, and codes without tokens never move.
        ema_decay: Of the moving averages of "ema", and of the use by which codes are restarted. 0.99 forgets in about a
            hundred steps, which the encoder needs to change much; at 0.999 the codes lag behind it.
        kmeans_init: Whether the codes begin at the centres of the first 4 * K tokens (k-means++ and Lloyd's
            iterations), as in SoundStream, arXiv 2107.03312. Until then, for the first steps of training, vectors pass
            as they are (through the linear maps of `code_dim`), cost nothing, and their codes say nothing. Otherwise
            codes begin at random, of about length 1: where the vectors are of another mean or scale a few take them
            all, until a conscience brings in the others. `models.VQVAE` does so, and is no worse for it
            (benchmarks/RESULTS.md).
        code_dim: Dimensions in which codes are compared, behind a learnt linear map and before one back (factorised
            codes: Yu et al., arXiv 2110.04627; 8 in DAC, arXiv 2306.06546): few dimensions are filled more evenly, and
            more codes are used. None compares the vectors themselves.
        normalize: Whether codes and encodings have length 1 (same papers): their scale is fixed and no code is favoured
            by its length. Without `code_dim` the length of the vectors is lost.
        restart_threshold: A code is dead, and becomes a random token of the batch (Jukebox, arXiv 2005.00341), when its
            running share of the tokens is below restart_threshold / K. 0 for never. Relative to the even share, it fits
            any batch; a fixed count kills every code of a small one. With 0.15 a code that nothing chooses is restarted
            after 190 steps.
        conscience: Strength of a handicap in the choice of codes, in training and in use, for those that are used more
            than others (`conscience.Conscience`). With 4 codebooks of a few dozen codes stay in use; 0 chooses the
            nearest code, as in the original.
        gradient: "straight_through" gives the encoder the gradient at the quantised vector. "rotation" turns and
            scales it with the vector (`estimators.rotation`): more codes used in its paper, arXiv 2410.06424.
        evenness_weight: Weight of E[H(p | z)] - H(E[p]) in nats (`evenness.unevenness`), which draws encodings towards
            unused codes. 0 leaves it out.
        commitment: "adaptive" divides the squared error of the loss "commitment" (and of "codebook") by the running
            variance of the encodings, or by a fourth of the token's own squared distance from their mean where that is
            more. When the encoder changes their scale, the loss stays as it is, and neither holds the encoder fast nor
            lets it go; and a rare loud sound, far from all codes, does not make it jump. "constant" is the original.
        commitment_weight: Weight of that loss, which keeps encodings near their codes. 0.25 as in van den Oord et al.
        seed: Of all that is random.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> quantizer = VectorQuantizer(codebook_size=16, dim=8)  # placed by the first 64 tokens
        >>> vectors = tf.random.stateless_normal([2, 35, 8], seed=[0, 1])
        >>> quantized = quantizer(vectors, training=True)
        >>> quantized.codes.shape, quantized.losses["commitment"].shape
        (TensorShape([2, 35, 1]), TensorShape([]))
        >>> quantizer.decode(quantizer.encode(vectors)).shape
        TensorShape([2, 35, 8])

    Reference:
        van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, NeurIPS 2017.
    """

    OPTIONS = (
        "update", "ema_decay", "kmeans_init", "code_dim", "normalize", "restart_threshold", "conscience", "gradient",
        "evenness_weight", "commitment", "commitment_weight",
    )  # fmt: skip
    measure_names = ("perplexity", "usage", "error", "commitment_weight", "dead", "restarts")

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        update: str = "ema",
        ema_decay: float = 0.99,
        kmeans_init: bool = True,
        code_dim: int | None = None,
        normalize: bool = False,
        restart_threshold: float = 0.15,
        conscience: float = 4.0,
        gradient: str = "straight_through",
        evenness_weight: float = 0.0,
        commitment: str = "adaptive",
        commitment_weight: float = 0.25,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self._config = {
            "codebook_size": codebook_size, "dim": dim, "update": update, "ema_decay": ema_decay,
            "kmeans_init": kmeans_init, "code_dim": code_dim, "normalize": normalize,
            "restart_threshold": restart_threshold, "conscience": conscience, "gradient": gradient,
            "evenness_weight": evenness_weight, "commitment": commitment, "commitment_weight": commitment_weight,
            "seed": seed,
        }  # fmt: skip
        _check(self._config)
        self.dim, self.code_dim = dim, code_dim or dim
        self.update, self.normalize, self.commitment = update, normalize, commitment
        self.commitment_weight, self.evenness_weight = commitment_weight, evenness_weight
        self.estimator = ESTIMATORS[gradient]
        self.codebook = Codebook(
            codebook_size, self.code_dim, update, ema_decay, kmeans_init, restart_threshold, normalize, seed
        )
        self.running_variance = RunningMean()
        self.conscience = Conscience(conscience)
        self.projection_in = self.projection_out = None
        if code_dim is not None:
            self.projection_in, self.projection_out = make_projections(dim, code_dim, seed)
        self.supports_masking = True  # a mask of padding is heeded, and goes on with the vectors
        self.built = True

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes the codebook has, in a tuple as quantizers with several have it."""
        return (self.codebook.size,)

    @property
    def usage(self) -> tuple[tf.Tensor, ...]:
        """Running histogram of each codebook, float32 [codebook_size]: counts of the latest steps."""
        return (tf.convert_to_tensor(self.codebook.usage.histogram),)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses that a call returns."""
        names = ["commitment"]
        if self.update == "gradient":
            names.append("codebook")
        if self.evenness_weight:
            names.append("evenness")
        return tuple(names)

    def call(self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool = False) -> Quantized:
        """Quantises vectors; in training, moves the codes.

        Args:
            inputs: float32 [batch, frames, dim], finite.
            mask: float32 [batch, frames], 1 for what counts, 0 for padding; None if everything does.
            training: Whether the codes move.

        Returns:
            Vectors, codes, losses and measures. Once codes are placed, the vectors are those of `decode(codes)`.

        Raises:
            ValueError: If the inputs have another shape or are no floats.
            tf.errors.InvalidArgumentError: In training, if the inputs are not finite; it names the layer, and nothing
                has moved. XLA leaves the error out, not the rest.
        """
        inputs = as_vectors(inputs, self.dim, self.name)
        weights = as_weights(inputs, mask)
        encodings = self.project_in(inputs)
        found = self.find(encodings, weights, training)
        vectors = self.project_out(self.estimator(encodings, found.quantized))
        if training:
            self.add_loss(list(found.losses.values()))
        measures = {name: value[tf.newaxis] for name, value in found.measures.items()}
        return Quantized(vectors, found.codes[..., tf.newaxis], found.losses, measures)

    def encode(self, inputs: tf.Tensor) -> tf.Tensor:
        """The codes of vectors.

        Args:
            inputs: float [batch, frames, dim].

        Returns:
            int32 [batch, frames, 1].
        """
        encodings = self.project_in(as_vectors(inputs, self.dim, self.name))
        codes = self._choose(tf.reshape(encodings, [-1, self.code_dim]), self.codebook.values())
        return tf.reshape(codes, tf.concat([tf.shape(encodings)[:2], [1]], 0))

    def decode(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes.

        Args:
            codes: int [batch, frames, 1].

        Returns:
            float32 [batch, frames, dim].
        """
        return self.vectors_of(as_columns(codes, self.codebook_sizes, 1, self.name)[..., 0])

    def vectors_of(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes that are known to be there: int32 [batch, frames] -> [batch, frames, dim]."""
        return self.project_out(tf.gather(self.codebook.values(), codes))

    def project_in(self, vectors: tf.Tensor) -> tf.Tensor:
        """What is compared with the codes: [batch, frames, dim] -> [batch, frames, code_dim]."""
        encodings = vectors if self.projection_in is None else self.projection_in(vectors)
        return tf.math.l2_normalize(encodings, axis=-1) if self.normalize else encodings

    def project_out(self, quantized: tf.Tensor) -> tf.Tensor:
        """Back from codes: [batch, frames, code_dim] -> [batch, frames, dim]."""
        return quantized if self.projection_out is None else self.projection_out(quantized)

    def find(
        self, encodings: tf.Tensor, weights: tf.Tensor, training: bool, variance: tf.Tensor | None = None
    ) -> Found:
        """The nearest codes, what training has to say of them, and in training the move of the codes.

        Args:
            encodings: float32 [batch, frames, code_dim], of `project_in`.
            weights: float32 [batch, frames], 1 for what counts.
            training: Whether the statistics may move.
            variance: float32 scalar by which an adaptive commitment divides; None for that of the encodings.

        Returns:
            The codes and what belongs to them.
        """
        learning = training and self.trainable
        tokens = as_tokens(encodings, weights)
        if training:
            require_finite(tokens, self.name)
        placed = self.codebook.place(tokens) if learning else None
        codebook = self.codebook.values(None if placed is None else placed.vectors)
        ready = tf.constant(True) if placed is None else placed.ready
        counted = tokens.restricted(ready)
        rows = tf.reshape(encodings, [-1, self.code_dim])
        codes = self._choose(rows, codebook)
        chosen = look_up(codebook, codes)
        mean, batch_variance, own_variance = self._variances(tokens, learning)
        scale, scales = tf.ones([]), tf.ones([])
        if self.commitment == "adaptive":
            scale = 1.0 / (own_variance if variance is None else variance)
            scales = bounded(scale, _squared(tokens.values, mean))
        [error] = counted.means([_squared(tokens.values, tf.stop_gradient(chosen))])
        dead, restarts = self.codebook.num_dead(), tf.zeros([])
        if placed is not None:
            dead, restarts = self.codebook.follow(placed, counted, codes)
            self.conscience.update(error, counted.total > 0.0)
        measures = {
            "perplexity": self.codebook.usage.perplexity(),
            "usage": self.codebook.usage.share_used(),
            "error": error / batch_variance,
            "commitment_weight": self.commitment_weight * scale,
            "dead": dead,
            "restarts": restarts,
        }
        temperature = self.code_dim * tf.maximum(error, 1e-4 * batch_variance)
        shape = tf.shape(encodings)
        return Found(
            tf.reshape(tf.stop_gradient(tf.where(ready, chosen, rows)), shape),
            tf.reshape(codes, shape[:2]),
            self._terms(counted_rows(encodings, weights), chosen, codebook, counted, scales, temperature),
            {name: tf.stop_gradient(value) for name, value in measures.items()},
            ready,
            own_variance,
        )

    def _choose(self, rows: tf.Tensor, codebook: tf.Tensor) -> tf.Tensor:
        """The code of each token: the nearest, or one nearly as near that is used less."""
        handicaps = self.conscience.handicaps(self.codebook.shares) if self.conscience.strength else None
        return nearest_codes(rows, codebook, handicaps)

    def _terms(
        self,
        rows: tf.Tensor,
        chosen: tf.Tensor,
        codebook: tf.Tensor,
        tokens: Tokens,
        scales: tf.Tensor,
        temperature: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        commitment = tokens.own_mean(scales * _squared(rows, tf.stop_gradient(chosen)))
        losses = {"commitment": self.commitment_weight * commitment}
        if self.update == "gradient":
            losses["codebook"] = tokens.own_mean(scales * _squared(chosen, tf.stop_gradient(rows)))
        if self.evenness_weight:
            losses["evenness"] = self.evenness_weight * unevenness(rows, codebook, tokens, temperature)
        return losses

    def _variances(self, tokens: Tokens, learning: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The batch's mean [code_dim], and variances, the batch's and the running one: scalars above 0."""
        [mean] = tokens.means([tokens.values])
        variance, mean_square = tokens.means([_squared(tokens.values, mean), _squared(tokens.values, 0.0)])
        variance = floored(variance, mean_square)
        if learning:
            self.running_variance.update(variance, tokens.total > 0.0)
        return mean, variance, self.running_variance.value(otherwise=variance)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), **self._config}


def as_weights(inputs: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """What counts, float32 [batch, frames]: the mask, or everything without one."""
    return tf.ones(tf.shape(inputs)[:2]) if mask is None else tf.cast(mask, tf.float32)


def _squared(a: tf.Tensor, b: tf.Tensor | float) -> tf.Tensor:
    """Mean over the dimensions of the squared difference: [tokens]."""
    return tf.reduce_mean(tf.square(a - b), axis=-1)


def _check(config: dict) -> None:
    for name, choices in CHOICES.items():
        if config[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, not {config[name]!r}.")
    for name in ("codebook_size", "dim", "code_dim"):
        if config[name] is not None and config[name] < 1:
            raise ValueError(f"{name} must be at least 1, not {config[name]}.")
    if config["codebook_size"] < 2:
        raise ValueError("codebook_size must be at least 2: a single code says nothing.")
    if (config["code_dim"] or 0) > config["dim"]:
        raise ValueError(f"code_dim must be at most dim, {config['dim']}, not {config['code_dim']}.")
    for name in ("ema_decay", "restart_threshold"):
        if not 0.0 <= config[name] < 1.0:
            raise ValueError(f"{name} must be at least 0 and below 1, not {config[name]}.")
    for name in ("commitment_weight", "evenness_weight", "conscience"):
        if config[name] < 0.0:
            raise ValueError(f"{name} must not be below 0, but is {config[name]}.")
