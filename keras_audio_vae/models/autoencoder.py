"""What all model families share: exact lengths, training under replicas, and the interface that users call."""

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, Self

import keras
import tensorflow as tf

from keras_audio_vae.frontends import MelFrontEnd
from keras_audio_vae.frontends.signal import length_of, num_frames
from keras_audio_vae.layers.network import AudioNetwork
from keras_audio_vae.layers.replicas import num_replicas, replica_mean
from keras_audio_vae.layers.vocoding import VocoderNetwork
from keras_audio_vae.losses.masking import frame_mask, mean_present
from keras_audio_vae.losses.spectrogram import SpectrogramLoss
from keras_audio_vae.losses.terms import WeightedTerms
from keras_audio_vae.models.batches import Batch, as_batch, as_latents, as_waveform, of_any_waveform
from keras_audio_vae.models.blockwise import reconstruct_blocks


class AudioAutoencoder(keras.Model):
    """A model with the interface of the package, trained by plain `fit`.

    A family gives `encode_padded`, `objective` and, if its latents are no vectors, `vectors_of`; lengths, gradients,
    logs and blocks are dealt with here.

    Args:
        arguments: What the family's constructor was given, by name, as JSON values: its configuration. Used here are
            `sample_rate` (in Hz); `channels` (of every waveform); `clipnorm` (largest norm of the gradient of the
            global batch; 0 for no clipping; applied here, after the replicas' gradients are added up: an optimizer's
            own acts before, on each replica alone); and `seed` (of the noise in training, which is a function of the
            seed, the optimizer's step and the example's place in the global batch, and of nothing else).
        network: Between waveform and hidden frames, and latent vectors and waveform.
        loss: What a reconstruction is charged for.
        latent_dim: Size of a latent vector, where it is no argument.
        latent_hop: Samples that one latent frame stands for; by default the network's.
        context_frames: Latent frames to either side that a reconstruction depends on; by default the network's.
        log_names: Names of what `objective` reports beside "loss".
        **kwargs: Those of `keras.Model`.

    Raises:
        ValueError: If it were to compute in float16.
    """

    def __init__(
        self,
        arguments: Mapping[str, Any],
        network: AudioNetwork | VocoderNetwork,
        loss: WeightedTerms,
        *,
        log_names: tuple[str, ...],
        latent_dim: int | None = None,
        latent_hop: int | None = None,
        context_frames: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if self.compute_dtype == "float16":
            # Powers of spectra overflow in it, and what scales its losses looks at one replica only.
            raise ValueError("A model of this package does not compute in float16: use mixed_bfloat16.")
        self.autocast = False  # a waveform is not rounded to bfloat16 on its way in: the front end needs it whole
        self._arguments = arguments
        self.sample_rate, self.channels = arguments["sample_rate"], arguments["channels"]
        self.network, self.reconstruction_loss = network, loss
        self.latent_hop, self.latent_dim = latent_hop or network.latent_hop, latent_dim or arguments["latent_dim"]
        self.context_frames = context_frames or network.context_frames
        self.fade_samples = network.fade_samples
        self.clipnorm, self.seed = arguments["clipnorm"], arguments["seed"]
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", *log_names)}

    # What a family gives.

    def encode_padded(self, waveform: tf.Tensor) -> Any:
        """Deterministic latents of a waveform whose length is a multiple of `latent_hop`."""
        raise NotImplementedError(f"{type(self).__name__} must define encode_padded")

    def objective(self, batch: Batch, step, training: bool) -> dict[str, tf.Tensor]:
        """Scalars of a padded batch by name, "loss" among them; means over this replica's examples that hold sound."""
        raise NotImplementedError(f"{type(self).__name__} must define objective")

    def vectors_of(self, latents: Any) -> tf.Tensor:
        """What the network decodes: the latents themselves, unless they are codes or levels."""
        return latents

    def as_latents(self, latents) -> Any:
        """What users hand to `decode`, checked; a family whose latents are no vectors has checks of its own."""
        return as_latents(latents, self.latent_dim)

    @property
    def latents_spec(self) -> Any:
        """Name, type and shape of what `encode` gives and `decode` takes: a `tf.TensorSpec`, or a tuple of them.

        A tuple's first part has one frame per `latent_hop`, and the others a whole number of them.
        """
        return tf.TensorSpec((None, None, self.latent_dim), tf.float32, "latents")

    def encodings(self, waveform) -> Any:
        """The vectors that a waveform's latents are made of; the latents themselves, unless they are codes."""
        return self.encode(waveform)

    def latents_of(self, encodings: Any) -> Any:
        """The latents that encodings give; they are latents, unless those are codes."""
        return encodings

    def decode_frames(self, latents: Any) -> tf.Tensor:
        """The waveform of latents, frames * latent_hop samples long."""
        return self.network.decode(self.vectors_of(latents))

    def reconstruction_terms(self, batch: Batch, vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the network makes of latent vectors, compared with the sound, term by term: scalars, see `objective`."""
        terms = self.reconstruction_loss.terms(batch.waveform, self.network.predict(vectors), batch.mask)
        present = tf.reduce_max(batch.mask, axis=1)
        return {name: mean_present(term, present) for name, term in terms.items()}

    @property
    def predicts_spectrogram(self) -> bool:
        """Whether the model predicts mel bands, for which a waveform has to be found, and not the waveform itself."""
        return isinstance(self.reconstruction_loss, SpectrogramLoss)

    def after_step(self, logs: dict[str, tf.Tensor]) -> None:
        """What moves between training steps beside the weights; `logs` are those of the global batch."""

    @property
    def warmup_steps(self) -> int:
        """Training steps before the latents settle, because their loss term is still being introduced."""
        return 0

    # What users call.

    def encode(self, waveform) -> Any:
        """The deterministic latents of a waveform.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            float32 [batch, ceil(samples / latent_hop), latent_dim], or what else `latents_spec` says.
        """
        return self._encode(as_waveform(waveform, self.channels))

    @of_any_waveform
    def _encode(self, waveform: tf.Tensor) -> Any:
        return self.encode_padded(self.pad(waveform))

    def decode(self, latents, num_samples=None) -> tf.Tensor:
        """The waveform of latents.

        Args:
            latents: float32 [batch, frames, latent_dim], or what else `latents_spec` says.
            num_samples: Length wanted, 0 to frames * latent_hop, which is the default.

        Returns:
            float32 [batch, num_samples, channels].

        Raises:
            ValueError: If the latents have another shape, or `num_samples` is out of what they hold.
        """
        latents = self.as_latents(latents)
        longest = length_of(tf.nest.flatten(latents)[0], 1) * self.latent_hop
        wanted = longest if num_samples is None else num_samples
        if isinstance(wanted, numbers.Integral) and not tf.is_tensor(longest) and not 0 <= int(wanted) <= longest:
            raise ValueError(f"num_samples must be 0 to {longest}, all that the latents hold, not {wanted}.")
        return self._decode(latents, tf.cast(wanted, tf.int32))

    @tf.function(reduce_retracing=True, autograph=False)
    def _decode(self, latents: Any, num_samples: tf.Tensor) -> tf.Tensor:
        return self.decode_frames(latents)[:, :num_samples]

    def reconstruct(self, waveform) -> tf.Tensor:
        """A waveform, encoded and decoded.

        What is longer than some twenty seconds goes through the model in blocks, each with as much of its surroundings
        as can make a difference: the result is that of one pass, in bounded memory.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            float32 of the same shape.
        """
        waveform = as_waveform(waveform, self.channels)
        if waveform.shape[1] is None:
            return self.reconstruct_at_once(waveform)

        def read(start: int, count: int) -> tf.Tensor:
            return waveform[:, start : start + count]

        return tf.concat(list(reconstruct_blocks(self, read, waveform.shape[1])), axis=1)

    def reconstruct_at_once(self, waveform) -> tf.Tensor:
        """`reconstruct` in one pass, whatever the length; also what is exported."""
        return self._reconstruct(as_waveform(waveform, self.channels))

    @of_any_waveform
    def _reconstruct(self, waveform: tf.Tensor) -> tf.Tensor:
        return self.decode_frames(self.encode_padded(self.pad(waveform)))[:, : length_of(waveform, 1)]

    def convert(self, waveform) -> tf.Tensor:
        """A waveform, turned into mel bands and back with no model between: what the conversion alone costs.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            float32 of the same shape.

        Raises:
            ValueError: If the model predicts the waveform itself, and converts nothing.
        """
        waveform = as_waveform(waveform, self.channels)
        return self._convert(waveform)[:, : waveform.shape[1]]

    @of_any_waveform
    def _convert(self, waveform: tf.Tensor) -> tf.Tensor:
        return self.network.synthesize(self._mel("convert").features(self.pad(waveform)))

    def spectrogram_distance(self, waveform, latents) -> tf.Tensor:
        """How far the mel bands that latents give are from those of a waveform, before any sound is found for them.

        Args:
            waveform: float32 [batch, samples, channels].
            latents: What `encode` gives, with as many frames.

        Returns:
            float32 [batch], the mean absolute difference in decades of power.

        Raises:
            ValueError: If the model predicts no mel bands.
        """
        return self._spectrogram_distance(as_waveform(waveform, self.channels), self.as_latents(latents))

    @tf.function(reduce_retracing=True, autograph=False)
    def _spectrogram_distance(self, waveform: tf.Tensor, latents: Any) -> tf.Tensor:
        mel = self._mel("spectrogram_distance")
        own = mel.features(waveform)
        predicted = self.network.predict(self.vectors_of(latents))[:, : tf.shape(own)[1]]
        difference = tf.abs(mel.in_decades(predicted) - mel.in_decades(own))
        return tf.reduce_mean(tf.reshape(difference, [tf.shape(waveform)[0], -1]), axis=1)

    def _mel(self, method: str) -> MelFrontEnd:
        if not isinstance(self.reconstruction_loss, SpectrogramLoss):
            raise ValueError(f"{method} is for models with frontend=mel; this one makes the waveform itself.")
        return self.reconstruction_loss.frontend

    def interpolate(self, a, b, steps: int) -> tf.Tensor:
        """Sounds on the straight line between the encodings of two waveforms.

        Args:
            a: float32 [samples, channels].
            b: float32 of the same shape.
            steps: How many sounds, the reconstructions of `a` and of `b` included.

        Returns:
            float32 [steps, samples, channels].

        Raises:
            ValueError: If the two differ in length or channels.
        """
        a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
        if a.shape != b.shape:
            raise ValueError(
                f"interpolate takes two waveforms of one shape, not {tuple(a.shape)} and {tuple(b.shape)}."
            )
        waveforms = as_waveform(tf.stack([a, b]), self.channels)
        share = tf.reshape(tf.linspace(0.0, 1.0, steps), [-1, 1, 1])
        encodings = tf.nest.map_structure(
            lambda ends: (1.0 - share) * ends[0] + share * ends[1], self.encodings(waveforms)
        )
        return self.decode(self.latents_of(encodings), waveforms.shape[1])

    def adapt(self, batches: Iterable[Any]) -> None:
        """Takes what the front end has to know of the training sounds, before training, in one pass.

        The mel front end brings each band to mean 0 and deviation 1; the others know all they need, and no batch is
        asked for.

        Args:
            batches: What `fit` would be given: waveforms, or batches with a mask.
        """
        pairs = (as_batch(batch, self.channels) for batch in batches)
        self.network.adapt((waveform, frame_mask(mask, self.network.hop)) for waveform, mask in pairs)

    def build(self, input_shape: tuple | None = None) -> None:
        """Creates every weight, so that a saved model finds them; a family calls it at its constructor's end."""
        self.decode_frames(self.encode_padded(tf.zeros([1, self.latent_hop, self.channels])))
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values, named as the flags are."""
        return {**super().get_config(), **self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """A model of the same arguments, with fresh weights."""
        return cls(**config)

    def call(self, inputs, training: bool = False) -> tf.Tensor:
        """The reconstruction of a waveform, or of a batch's waveform."""
        return self.reconstruct_at_once(as_batch(inputs, self.channels).waveform)

    def pad(self, waveform: tf.Tensor) -> tf.Tensor:
        """Zeros at the end up to a multiple of `latent_hop`: nothing is cropped, here or at the way back."""
        waveform = tf.ensure_shape(waveform, [None, None, self.channels])
        samples = length_of(waveform, 1)
        missing = num_frames(samples, self.latent_hop) * self.latent_hop - samples
        return tf.pad(waveform, [[0, 0], [0, missing], [0, 0]])

    # What fit and evaluate call.

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of everything that is logged, reset at each epoch."""
        return list(self.trackers.values())

    def train_step(self, data) -> dict[str, tf.Tensor]:
        """One step on this replica's share of a batch; returns the running means by name."""
        batch = self._padded(data)
        with tf.GradientTape() as tape:
            logs = self.objective(batch, self.optimizer.iterations, training=True)
            share = logs["loss"] / num_replicas()  # the optimizer adds the replicas' gradients up
        gradients = tape.gradient(share, self.trainable_variables)
        self.optimizer.apply_gradients(zip(self._clipped(gradients), self.trainable_variables, strict=True))
        logs, examples = self._over_replicas(logs, batch)
        self.after_step(logs)
        return self._record(logs, examples)

    def test_step(self, data) -> dict[str, tf.Tensor]:
        """Evaluates this replica's share of a batch by deterministic latents; rows of padding do not count."""
        batch = self._padded(data)
        step = self.optimizer.iterations if self.optimizer is not None else 0
        return self._record(*self._over_replicas(self.objective(batch, step, training=False), batch))

    def _padded(self, data) -> Batch:
        waveform, mask = as_batch(data, self.channels)
        waveform = self.pad(waveform * mask[:, :, tf.newaxis])
        return Batch(waveform, tf.pad(mask, [[0, 0], [0, tf.shape(waveform)[1] - tf.shape(mask)[1]]]))

    def _clipped(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Clips the global batch's gradient; each replica returns an equal share, as the optimizer will add them up."""
        if not self.clipnorm:
            return gradients
        averages = replica_mean(gradients)
        norm = num_replicas() * tf.linalg.global_norm(averages)
        scale = tf.minimum(1.0, self.clipnorm / tf.maximum(norm, 1e-12))
        return [scale * average for average in averages]

    def _over_replicas(self, logs: dict[str, tf.Tensor], batch: Batch) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Means over the global batch of what each replica measured, and the number of examples behind them."""
        examples = tf.reduce_sum(tf.reduce_max(batch.mask, axis=1))
        sums = replica_mean({"examples": examples, **{name: value * examples for name, value in logs.items()}})
        average = sums.pop("examples")
        return {name: tf.math.divide_no_nan(value, average) for name, value in sums.items()}, average * num_replicas()

    def _record(self, logs: dict[str, tf.Tensor], examples: tf.Tensor) -> dict[str, tf.Tensor]:
        for name, tracker in self.trackers.items():
            tracker.update_state(logs[name], sample_weight=examples)
        return {name: tracker.result() for name, tracker in self.trackers.items()}
