"""What must be set before TensorFlow starts."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

# Small tests gain nothing from many threads, and several of them may run at once.
tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(2)

# Two logical devices, so that tests can compare one replica with two; they must exist before TensorFlow is first used.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session", autouse=True)
def cache_of_scans(tmp_path_factory):
    """Tests, and the commands that they start, leave the user's cache alone."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def two_replicas():
    """The one strategy of two replicas in this process: the collectives of a second one would be mistaken for its."""
    from keras_audio_vae.training.strategy import make_strategy

    return make_strategy(replicas=2)
