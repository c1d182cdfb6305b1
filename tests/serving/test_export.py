import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.errors import UserError
from keras_audio_vae.serving import SIGNATURES, export, foreign_ops, verify

HOP = 8


class ToyCodec(keras.Model):
    """Frames of HOP samples through two dense layers: any batch, any length, exact lengths."""

    channels = 2
    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.analysis = keras.layers.Dense(self.latent_dim)
        self.synthesis = keras.layers.Dense(HOP * self.channels)
        self.analysis.build((None, None, HOP * self.channels))
        self.synthesis.build((None, None, self.latent_dim))
        self.built = True

    def encode(self, waveform):
        batch, samples = tf.shape(waveform)[0], tf.shape(waveform)[1]
        waveform = tf.pad(waveform, ((0, 0), (0, -samples % HOP), (0, 0)))
        return self.analysis(tf.reshape(waveform, (batch, -1, HOP * self.channels)))

    def decode(self, latents, num_samples):
        waveform = tf.reshape(self.synthesis(latents), (tf.shape(latents)[0], -1, self.channels))
        return waveform[:, :num_samples]

    def reconstruct(self, waveform):
        return self.decode(self.encode(waveform), tf.shape(waveform)[1])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = ToyCodec()
    model.compile(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    return model, export(model, tmp_path_factory.mktemp("served") / "1")


def test_fresh_process_without_keras_gives_the_same_numbers(exported):
    model, path = exported
    assert verify(model, path, shapes=((1, 1), (3, 40), (2, 1001))) < 1e-6


def test_other_weights_are_noticed(exported):
    _, path = exported
    with pytest.raises(UserError, match="differs from the model"):
        verify(ToyCodec(), path, shapes=((1, 40),))


def test_export_is_inference_only_with_core_ops_and_open_shapes(exported):
    model, path = exported
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == set(SIGNATURES)
    shapes = {
        name: {key: spec.shape.as_list() for key, spec in function.structured_input_signature[1].items()}
        for name, function in loaded.signatures.items()
    }
    assert shapes == {
        "serving_default": {"waveform": [None, None, 2]},
        "encode": {"waveform": [None, None, 2]},
        "decode": {"latents": [None, None, 3], "num_samples": [None]},
    }
    stored = {name for name, _ in tf.train.list_variables(str(path / "variables" / "variables"))}
    values = [name for name in stored if "VARIABLE_VALUE" in name]
    assert len(values) <= 2 * len(model.variables)
    assert not any("optimizer" in name or "momentum" in name for name in stored)
    assert foreign_ops(path) == []


def test_rows_of_a_batch_may_ask_for_different_lengths(exported):
    _, path = exported
    decode = tf.saved_model.load(str(path)).signatures["decode"]
    latents = tf.random.stateless_normal((2, 4, 3), (0, 1))
    both = decode(latents=latents, num_samples=tf.constant([30, 17]))["waveform"].numpy()
    assert both.shape == (2, 30, 2)
    for row, length in enumerate((30, 17)):
        alone = decode(latents=latents[row : row + 1], num_samples=tf.constant([length]))["waveform"].numpy()
        np.testing.assert_allclose(both[row : row + 1, :length], alone, atol=1e-6)
    assert not both[1, 17:].any()


def test_export_replaces_an_older_one_whole(exported, tmp_path):
    model, _ = exported
    path = tmp_path / "1"
    path.mkdir()
    (path / "left_over").write_text("old")
    export(model, path)
    assert not (path / "left_over").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
