"""A model and a pipeline small enough to watch: what `fit` needs of them, and no more."""

import types

import keras
import tensorflow as tf

SAMPLES = 32


class ToyModel(keras.Model):
    """One dense layer; stateless noise per row of the global batch; logs and dtypes as the real models have."""

    sample_rate = 8000
    warmup_steps = 0
    noise = 0.1

    def __init__(self, active_units: float = 1.0) -> None:
        super().__init__()
        self.active_units = active_units
        self.dense = keras.layers.Dense(SAMPLES, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
        self.dense.build((None, SAMPLES))
        self.trackers = {name: keras.metrics.Mean(name) for name in ("loss", "active_units")}
        self.built = True

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.dense(waveform[..., 0]), tf.float32)[..., tf.newaxis]

    def adapt(self, batches) -> None:
        """Has nothing to know of the sounds before training."""

    def reconstruct(self, waveform: tf.Tensor) -> tf.Tensor:
        return self(waveform)

    def kl_per_dimension(self, waveform: tf.Tensor) -> tf.Tensor:
        return waveform[:, :4] ** 2

    def losses_of(self, batch: dict[str, tf.Tensor], noise: tf.Tensor | float) -> tf.Tensor:
        return tf.reduce_mean((self(batch["waveform"] + noise) - batch["waveform"]) ** 2)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        rows = tf.shape(batch["waveform"])[0]
        seed = tf.stack([tf.constant(7, tf.int64), tf.cast(self.optimizer.iterations, tf.int64)])
        noise = tf.random.stateless_normal((rows * context.num_replicas_in_sync, SAMPLES, 1), seed, stddev=self.noise)
        first = rows * context.replica_id_in_sync_group
        with tf.GradientTape() as tape:
            loss = self.losses_of(batch, noise[first : first + rows])
            scaled = loss / context.num_replicas_in_sync
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._log(loss)

    def test_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self._log(self.losses_of(batch, 0.0))

    def _log(self, loss: tf.Tensor) -> dict[str, tf.Tensor]:
        self.trackers["loss"].update_state(loss)
        self.trackers["active_units"].update_state(self.active_units)
        return {name: tracker.result() for name, tracker in self.trackers.items()}


class ToyPipeline:
    """Noise; batch i of the stream is a function of (seed, first_step + i). `broken_step` holds a NaN."""

    def __init__(self, epoch_steps: int = 4, broken_step: int = -1, value: float = float("nan")) -> None:
        self.epoch_steps, self.broken_step, self.value = epoch_steps, broken_step, value
        self.faults = types.SimpleNamespace(fatal=None)

    def _batches(self, steps: tf.data.Dataset, batch_size: int, seed: int) -> tf.data.Dataset:
        def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
            waveform = tf.random.stateless_normal((batch_size, SAMPLES, 1), tf.stack([tf.cast(seed, tf.int64), step]))
            waveform = tf.where(step == self.broken_step, self.value, waveform)
            return {"waveform": waveform, "mask": tf.ones((batch_size, SAMPLES))}

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return steps.map(batch).with_options(options)

    def training(
        self, batch_size: int, *, seed: int = 0, first_step: int = 0, augmentation: object = None
    ) -> tf.data.Dataset:
        return self._batches(tf.data.Dataset.counter(first_step), batch_size, seed)

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        return self._batches(tf.data.Dataset.range(1000, 1002), batch_size, 0)

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.epoch_steps

    def files_of_step(self, step: int, batch_size: int, *, seed: int = 0) -> list[str]:
        return [f"step{step}.wav"]
