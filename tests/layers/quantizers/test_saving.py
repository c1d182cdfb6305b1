import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import FiniteScalarQuantizer, ResidualVectorQuantizer, VectorQuantizer

INPUTS = np.random.default_rng(4).normal(size=[6, 20, 4]).astype(np.float32)
EVERY = {
    "ema": lambda: VectorQuantizer(8, 4, ema_decay=0.9, commitment_weight=1.0, conscience=2.0, seed=3),
    "gradient": lambda: VectorQuantizer(
        8, 4, update="gradient", normalize=True, evenness_weight=0.1, kmeans_init=False
    ),
    "residual": lambda: ResidualVectorQuantizer(
        2,
        8,
        4,
        quantizer_dropout=0.5,
        code_dim=3,
        normalize=True,
        gradient="rotation",
        commitment="constant",
        kmeans_init=False,
    ),
    "scalar": lambda: FiniteScalarQuantizer(4, levels=[3, 4], num_codebooks=3),
}


@pytest.fixture(params=EVERY)
def make(request):
    return EVERY[request.param]


@keras.saving.register_keras_serializable("tests")
class Model(keras.Model):
    """A quantizer between two dense layers, under plain `fit`."""

    def __init__(self, quantizer, **kwargs):
        super().__init__(**kwargs)
        self.before, self.quantizer, self.after = keras.layers.Dense(4), quantizer, keras.layers.Dense(4)

    def call(self, inputs, training=False):
        quantized = self.quantizer(self.before(inputs), training=training)
        return self.after(quantized.vectors)

    def get_config(self):
        return {"quantizer": keras.saving.serialize_keras_object(self.quantizer)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["quantizer"]))


def test_config_is_json_and_makes_the_same_layer(make):
    layer = make()
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    assert again.codebook_sizes == layer.codebook_sizes and again.loss_names == layer.loss_names
    for a, b in zip(layer.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg="the seed is part of the config")


@pytest.mark.parametrize(("kind", "eagerly"), [("ema", False), ("residual", True)])
def test_a_model_that_was_fitted_is_the_same_when_loaded(kind, eagerly, tmp_path):
    """One of them by a graph; a few steps of the other cost less than its tracing."""
    model = Model(EVERY[kind]())
    model.compile(optimizer="adam", loss="mse", run_eagerly=eagerly)
    history = model.fit(INPUTS, INPUTS, batch_size=3, epochs=3, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.quantizer.weights, loaded.quantizer.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(model.quantizer.encode(INPUTS), loaded.quantizer.encode(INPUTS))
    np.testing.assert_allclose(model(INPUTS), loaded(INPUTS), atol=1e-6)


def test_encode_and_decode_are_exported_for_any_batch_and_length(make, tmp_path):
    layer = make()
    layer(INPUTS, training=True)
    module = tf.Module()
    module.encode = tf.function(layer.encode, input_signature=[tf.TensorSpec([None, None, 4])], autograph=False)
    module.decode = tf.function(
        layer.decode,
        input_signature=[tf.TensorSpec([None, None, len(layer.codebook_sizes)], tf.int32)],
        autograph=False,
    )
    module.variables_used = [weight.value for weight in layer.weights]
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch, frames in ((1, 1), (3, 17), (0, 5), (2, 700)):
        inputs = tf.random.stateless_normal([batch, frames, 4], [0, frames])
        codes = loaded.encode(inputs)
        np.testing.assert_array_equal(codes, layer.encode(inputs))
        np.testing.assert_allclose(loaded.decode(codes), layer.decode(codes), atol=1e-6)
    training_alone = {"CheckNumerics", "PyFunc", "EagerPyFunc", "AssignVariableOp", "CollectiveReduceV2"}
    for function, foreign in ((module.encode, {*training_alone, "Assert"}), (module.decode, training_alone)):
        graph = function.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        kinds = {node.op for node in nodes}
        assert not kinds & foreign


def test_a_functional_model_takes_it_as_a_layer(make):
    inputs = keras.Input([None, 4])
    quantized = make()(inputs)
    model = keras.Model(inputs, [quantized.vectors, quantized.codes])
    vectors, codes = model(INPUTS)
    assert vectors.shape == [6, 20, 4] and codes.dtype == tf.int32


def test_its_losses_are_those_that_fit_adds(make):
    inputs, layer = keras.Input([None, 4]), make()
    model = keras.Model(inputs, layer(inputs).vectors)
    model(INPUTS, training=True)
    expected = make()(INPUTS, training=True).losses
    np.testing.assert_allclose(model.losses, [*expected.values()], rtol=1e-5)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=lambda truth, given: 0.0 * given[..., 0])
    of_fit = model.fit(INPUTS, INPUTS, batch_size=6, verbose=0).history["loss"][0]
    assert of_fit == pytest.approx(float(sum(expected.values())), rel=0.2)  # the codes have moved once
    model(INPUTS)
    assert model.losses == []


@pytest.mark.filterwarnings("error")
def test_a_mask_of_keras_is_heeded_and_passed_on(make):
    """Padding that a `Masking` layer has found counts as padding that was given by name."""
    padded = np.concatenate([INPUTS, np.full_like(INPUTS, 7.0)], axis=1)
    inputs = keras.Input([None, 4])
    quantized = make()(keras.layers.Masking(7.0)(inputs), training=True)
    pooled = keras.layers.GlobalAveragePooling1D()(quantized.vectors)
    model = keras.Model(inputs, [pooled, *quantized.losses.values()])
    layer = make()
    plain = layer(INPUTS, training=True)
    expected = [tf.reduce_mean(plain.vectors, axis=1), *plain.losses.values()]
    for result, value in zip(tf.nest.flatten(model(padded)), expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-5, atol=1e-6)


def test_xla_places_codes_and_restarts_them():
    layer = VectorQuantizer(8, 4, ema_decay=0.5, restart_threshold=0.9, conscience=0.0)
    step = tf.function(lambda batch: layer(batch, training=True), autograph=False, jit_compile=True)
    measures = [step(tf.constant(INPUTS)).measures for _ in range(5)]
    assert float(measures[-1]["perplexity"][0]) > 4.0 and float(measures[-1]["error"][0]) < 0.6
    assert sum(float(measure["restarts"][0]) for measure in measures) > 0
