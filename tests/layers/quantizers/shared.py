"""Trains a quantizer on the replicas of a strategy, for the tests and, with more replicas, in a process of its own."""

import sys

import keras
import numpy as np
import tensorflow as tf

STEPS, ROWS, FRAMES, DIM = 14, 8, 6, 4
CASES = {
    "ema": {
        "codebook_size": 12, "evenness_weight": 0.1, "ema_decay": 0.8, "restart_threshold": 0.5, "conscience": 2.0,
    },
    "gradient": {
        "codebook_size": 12, "update": "gradient", "code_dim": 3, "normalize": True, "gradient": "rotation",
        "evenness_weight": 0.1, "ema_decay": 0.8, "restart_threshold": 0.5,
    },
    "residual": {"codebook_size": (4, 8), "num_codebooks": 2, "quantizer_dropout": 0.5, "conscience": 2.0},
}  # fmt: skip


def batches():
    """Clustered vectors and masks: the last rows, which a replica has alone, hold next to nothing."""
    rng = np.random.default_rng(12)
    centres = rng.normal(size=[20, DIM])
    vectors = centres[rng.integers(0, 20, [STEPS, ROWS, FRAMES])] + 0.3 * rng.normal(size=[STEPS, ROWS, FRAMES, DIM])
    lengths = np.array([6, 4, 6, 6, 3, 5, 1, 0])
    mask = (np.arange(FRAMES) < lengths[:, None]).astype(np.float32)
    return vectors.astype(np.float32), mask


def train(strategy, name):
    """Trains, and returns every replica's weights and the last step's results, each a list of one array per replica.

    Losses are divided by the replicas, whose gradients the optimizer adds up.
    """
    from keras_audio_vae.layers import ResidualVectorQuantizer, VectorQuantizer

    options, replicas = CASES[name], strategy.num_replicas_in_sync
    with strategy.scope():
        kind = ResidualVectorQuantizer if "num_codebooks" in options else VectorQuantizer
        layer = kind(dim=DIM, seed=4, **options)
        optimizer = keras.optimizers.SGD(0.02)
        optimizer.build(layer.trainable_variables)
    vectors, mask = batches()

    def on_replica(batch):
        place = tf.distribute.get_replica_context().replica_id_in_sync_group
        own = slice(place * ROWS // replicas, (place + 1) * ROWS // replicas)
        with tf.GradientTape() as tape:
            quantized = layer(batch[own], mask=tf.constant(mask)[own], training=True)
            fit = tf.reduce_sum(tf.square(quantized.vectors - batch[own])) / ROWS
            loss = tf.add_n(list(quantized.losses.values())) / replicas + 0.1 * fit
        gradients = tape.gradient(loss, layer.trainable_variables)
        if gradients:
            optimizer.apply(gradients, layer.trainable_variables)
        return quantized

    step = tf.function(lambda batch: strategy.run(on_replica, args=(batch,)), autograph=False)
    restarts = np.zeros(len(layer.codebook_sizes))
    for batch in vectors:
        quantized = tf.nest.map_structure(strategy.experimental_local_results, step(tf.constant(batch)))
        restarts += quantized.measures["restarts"][0].numpy()
    results = {
        f"{group}/{key}": value for group in ("losses", "measures") for key, value in getattr(quantized, group).items()
    }
    results |= {"codes": quantized.codes, "vectors": quantized.vectors, "restarts": [restarts] * replicas}
    weights = {
        f"weights/{number}/{weight.path.split('/', 1)[-1]}": strategy.experimental_local_results(weight.value)
        for number, weight in enumerate(layer.weights)
    }
    return {key: [np.array(part) for part in parts] for key, parts in {**results, **weights}.items()}


def main(replicas, path, *names):
    """Trains cases on logical devices of this process and writes what each replica has."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    strategy = tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])
    results = {f"{name}/{key}": np.stack(parts) for name in names for key, parts in train(strategy, name).items()}
    np.savez(path, **results)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
