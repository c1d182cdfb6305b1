"""What every model and layer of the package must pass; a new one needs a line in CASES."""

import json
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_audio_vae as kav

STAGES = {"widths": [8, 16], "depths": [1, 1], "strides": [3]}
TINY = {**STAGES, "latent_dim": 8, "waveform_bands": 4}
NO_SPECTRA = {"stft_weight": 0.0, "mel_weight": 0.0}  # most of the time goes into them: once for each family is enough


def noise(*shape, seed=0):
    return (0.2 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


class Case(NamedTuple):
    """A layer or model and how to run the whole of it.

    Attributes:
        make: Constructs it.
        inputs: What `run` takes beside the object itself.
        run: Its outputs, a tensor or several, in which every trainable weight has a part.
    """

    make: Callable
    inputs: tuple
    run: Callable = lambda layer, *inputs: layer(*inputs)


def there_and_back(transform, waveform):
    return transform.synthesize(transform.analyse(waveform))


def synthesis(frontend, outputs, draft):
    return frontend.synthesize(outputs, draft)


def whole_network(network, waveform):
    encoding = network.encode(waveform)
    hidden = tf.cast(encoding.hidden, tf.float32)
    return network.decode(hidden if encoding.skip is None else tf.concat([encoding.skip, hidden], -1))


def training_objective(model, waveform):
    loss = model.objective(model._padded(waveform), 0, training=False)["loss"]
    return loss, model.decode_frames(model.encode_padded(waveform))


def prediction_objective(model, waveform):
    """Mel bands and no sound for them: a search makes much of the rounding in which a graph differs."""
    loss = model.objective(model._padded(waveform), 0, training=False)["loss"]
    return loss, model.network.predict(model.vectors_of(model.encode_padded(waveform)))


def normal(mean):
    return tfp.distributions.Normal(tf.convert_to_tensor(mean), 1.0)


def quantized(layer, vectors):
    result = layer(vectors)
    return [result.vectors, *result.losses.values()]


def whole_levels(levels, hidden, skip):
    inference = levels.infer(hidden, skip)
    return *inference.latents, inference.context, *levels.kl(inference, tf.constant([0, 1]))


def model(**arguments):
    shape = (2, 1890, arguments.get("channels", 1))
    return Case(lambda: kav.VAE(**{**TINY, **arguments}), (noise(*shape),), training_objective)


def vq_model(**arguments):
    shape = (2, 1890, arguments.get("channels", 1))
    codes = {"codebook_size": 8, "num_codebooks": 2, "code_dim": 0, "normalize_codes": False}
    return Case(lambda: kav.VQVAE(**{**TINY, **codes, **arguments}), (noise(*shape),), training_objective)


def two_level_model(**arguments):
    shape = (2, 2520, arguments.get("channels", 1))
    top = {"top_dim": 3, "top_stride": 2, "top_width": 8, "top_depth": 1, "vamp_components": 4, "coarse_bands": 6}
    return Case(lambda: kav.HVAE(**{**TINY, **top, **arguments}), (noise(*shape),), training_objective)


SOUND = noise(2, 630, 1)
MEL = {"hop": 315, "n_fft": 1260, "mel_bands": 16}
OF_MEL = {**MEL, **NO_SPECTRA, "frontend": "mel", "waveform_bands": 0, "waveform_weight": 0.0, "mel_weight": 1.0}
LEVELS = {"latent_dim": 6, "skip_dim": 3, "hidden_width": 5, "top_dim": 2, "top_width": 7, "top_stride": 2}
CASES = {
    "ResidualBlock": Case(lambda: kav.layers.ResidualBlock(8, kernel_size=5), (noise(2, 6, 8),)),
    "Upsample nearest": Case(lambda: kav.layers.Upsample(8, 3), (noise(2, 6, 4),)),
    "Upsample transposed": Case(lambda: kav.layers.Upsample(8, 3, "transposed"), (noise(2, 6, 4),)),
    "Encoder": Case(lambda: kav.layers.Encoder(**STAGES), (noise(2, 6, 5),)),
    "Decoder": Case(lambda: kav.layers.Decoder(**STAGES), (noise(2, 2, 4), noise(2, 6, 5))),
    "SkipProjection": Case(lambda: kav.layers.SkipProjection(8, skip_dim=3), (noise(2, 6, 5), noise(2, 6, 3))),
    "VectorQuantizer": Case(
        lambda: kav.layers.VectorQuantizer(8, dim=6, code_dim=3, update="gradient", kmeans_init=False),
        (noise(2, 5, 6),),
        quantized,
    ),
    "ResidualVectorQuantizer": Case(
        lambda: kav.layers.ResidualVectorQuantizer(2, 8, dim=6, code_dim=3, kmeans_init=False),
        (noise(2, 5, 6),),
        quantized,
    ),
    "FiniteScalarQuantizer": Case(
        lambda: kav.layers.FiniteScalarQuantizer(dim=6, levels=[5, 4], num_codebooks=2), (noise(2, 5, 6),), quantized
    ),
    "GaussianHead": Case(lambda: kav.layers.GaussianHead(8, skip_dim=3), (noise(2, 6, 5), noise(2, 6, 3))),
    "GaussianHead normalised": Case(lambda: kav.layers.GaussianHead(8, gamma=0.6), (noise(2, 6, 5),)),
    "ResidualGaussianHead": Case(
        lambda: kav.layers.ResidualGaussianHead(8, skip_dim=3), (noise(2, 6, 5), noise(2, 6, 4), noise(2, 6, 3))
    ),
    "BottomUp": Case(lambda: kav.layers.BottomUp(8, stride=3, depth=2), (noise(2, 6, 5),)),
    "TopDown": Case(lambda: kav.layers.TopDown(8, stride=3, depth=2), (noise(2, 6, 5),)),
    "TwoLevels": Case(lambda: kav.layers.TwoLevels(**LEVELS), (noise(2, 6, 5), noise(2, 6, 3)), whole_levels),
    "TwoLevels vamp": Case(
        lambda: kav.layers.TwoLevels(**LEVELS, top_prior="vamp", vamp_components=3),
        (noise(2, 6, 5), noise(2, 6, 3)),
        whole_levels,
    ),
    "StandardPrior": Case(
        lambda: kav.layers.StandardPrior(), (noise(2, 6, 4),), lambda prior, mean: prior.kl(normal(mean), None, None)
    ),
    "VampPrior": Case(
        lambda: kav.layers.VampPrior(3, frames=2, width=4),
        (noise(2, 6, 4),),
        lambda prior, mean: prior.kl(normal(mean), tf.constant([0, 1]), lambda x: normal(tf.reduce_mean(x, 1, True))),
    ),
    "AudioNetwork": Case(
        lambda: kav.layers.AudioNetwork(**STAGES, waveform_bands=4), (noise(2, 1890, 1),), whole_network
    ),
    "AudioNetwork pooled": Case(
        lambda: kav.layers.AudioNetwork(**STAGES, waveform_bands=0, pooled_samples=1890),
        (noise(2, 3780, 1),),
        whole_network,
    ),
    "LappedTransform": Case(lambda: kav.frontends.LappedTransform(210, 32, channels=1), (SOUND,), there_and_back),
    "STFTFrontEnd": Case(lambda: kav.frontends.STFTFrontEnd(210, 840), (noise(2, 3, 1263), SOUND), synthesis),
    "WaveformFrontEnd": Case(lambda: kav.frontends.WaveformFrontEnd(210), (noise(2, 3, 420), SOUND), synthesis),
    "MelFrontEnd": Case(
        lambda: kav.frontends.MelFrontEnd(22050, 315, 1260, 16), (noise(2, 945, 1),), lambda mel, x: mel.features(x)
    ),
    "VocoderNetwork": Case(
        lambda: kav.layers.VocoderNetwork(**MEL, iterations=0, width=8, depth=1),
        (noise(2, 945, 1),),
        lambda network, waveform: network.predict(network.encode(waveform)),  # what follows passes no gradient
    ),
    "Vocoder": Case(
        lambda: kav.models.Vocoder(**MEL, iterations=0, width=8, depth=1),
        (noise(2, 945, 1),),
        training_objective,
    ),
    "Vocoder stereo": Case(
        lambda: kav.models.Vocoder(**MEL, channels=2, iterations=0, width=8, depth=1),
        (noise(2, 945, 2),),
        training_objective,
    ),
    "RateControl": Case(
        lambda: kav.losses.RateControl("target", beta=0.1), (noise(2, 8),), lambda layer, kl: layer.penalty(kl, 0)
    ),
    "CoarseOutline": Case(
        lambda: kav.losses.CoarseOutline(bands=6, hop=105, sample_rate=22050),
        (SOUND, noise(2, 6, 4), np.ones((2, 6), np.float32)),
        lambda layer, *inputs: layer.distance(*inputs),
    ),
    "VAE": model(),
    "HVAE": two_level_model(),
    "HVAE vamp stereo transposed": two_level_model(top_prior="vamp", channels=2, upsampling="transposed", **NO_SPECTRA),
    "HVAE waveform": two_level_model(frontend="waveform", coarse_weight=0.0, **NO_SPECTRA),
    "VAE waveform transposed": model(frontend="waveform", upsampling="transposed", **NO_SPECTRA),
    "VAE pooled": model(waveform_bands=0, latent_pooling="global", chunk_samples=1890, **NO_SPECTRA),
    "VAE stereo normalised": model(channels=2, latent_norm="batch", **NO_SPECTRA),
    "VQVAE": vq_model(),
    "VQVAE waveform stereo": vq_model(
        frontend="waveform", channels=2, codebook_update="gradient", code_dim=4, **NO_SPECTRA
    ),
    "VQVAE scalar": vq_model(quantizer="scalar", levels=[5, 3], **NO_SPECTRA),
    "VAE mel stereo": model(channels=2, **OF_MEL)._replace(run=prediction_objective),
    "VAE free bits": model(rate_control="free_bits", mse_weight=1.0, seed=3, **NO_SPECTRA),
}
FLOAT32_ALWAYS = (
    *("SkipProjection", "GaussianHead", "VectorQuantizer", "ResidualVectorQuantizer", "FiniteScalarQuantizer"),
    *("ResidualGaussianHead", "TwoLevels", "StandardPrior", "VampPrior", "CoarseOutline", "HVAE"),
    *("LappedTransform", "STFTFrontEnd", "WaveformFrontEnd", "MelFrontEnd", "RateControl", "VAE", "VQVAE", "Vocoder"),
)


@pytest.fixture(scope="module", params=CASES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def case(name):
    return CASES[name]


@pytest.fixture(scope="module")
def thing(case):
    """The object with every weight created and none at a value that hides it; no test changes it."""
    thing = case.make()
    case.run(thing, *case.inputs)
    for number, weight in enumerate(thing.trainable_variables):
        weight.assign_add(0.05 * np.random.default_rng(number).normal(size=weight.shape))
    return thing


@pytest.fixture(scope="module")
def outputs(case, thing):
    return case.run(thing, *case.inputs)


def numbers(outputs):
    return [tf.cast(output, tf.float32).numpy() for output in tf.nest.flatten(outputs)]


def assert_same(left, right, tolerance=0.0):
    for a, b in zip(numbers(left), numbers(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_config_survives_json_and_makes_an_equal_object(case, thing):
    config = json.loads(json.dumps(thing.get_config()))
    again = type(thing).from_config(config)
    assert again.get_config() == thing.get_config()
    if not isinstance(thing, keras.Model):  # which its constructor has built
        case.run(again, *case.inputs)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in thing.weights]


def test_it_is_registered_for_loading_without_custom_objects(case):
    thing = case.make()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(thing))
    assert type(again) is type(thing)
    assert keras.saving.get_registered_name(type(thing)).startswith("keras_audio_vae>")


def test_weights_that_were_saved_give_the_same_outputs(case, thing, outputs, tmp_path):
    if isinstance(thing, keras.Model):
        thing.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
    else:
        again = type(thing).from_config(thing.get_config())
        case.run(again, *case.inputs)
        again.set_weights(thing.get_weights())
    assert_same(outputs, case.run(again, *case.inputs))


def test_a_graph_gives_what_eager_execution_does(case, thing, outputs):
    graph = tf.function(lambda *inputs: case.run(thing, *inputs), autograph=False)  # as the package's own graphs
    assert_same(outputs, graph(*map(tf.constant, case.inputs)), tolerance=1e-4)


def test_gradients_reach_every_trainable_weight(case, thing):
    with tf.GradientTape() as tape:
        # Squares, so that what a symmetry makes equal to a constant in the sum still has a gradient.
        total = tf.add_n([tf.reduce_sum(tf.square(x)) for x in tf.nest.flatten(case.run(thing, *case.inputs))])
    for weight, gradient in zip(
        thing.trainable_variables, tape.gradient(total, thing.trainable_variables), strict=True
    ):
        assert gradient is not None, weight.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all() and gradient.any(), weight.path


def assert_policy(thing, outputs, dtype):
    """The outputs have this type, and the weights that of 32 bits whatever the policy is."""
    assert {output.dtype for output in tf.nest.flatten(outputs)} == {dtype}
    assert {weight.dtype for weight in thing.trainable_variables} <= {"float32"}
    assert all(np.isfinite(array).all() for array in numbers(outputs))


def test_outputs_and_weights_are_float32_by_default(thing, outputs):
    assert_policy(thing, outputs, tf.float32)


def test_a_policy_of_mixed_precision_is_followed_and_weights_stay_float32(case, name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        thing = case.make()
        outputs = case.run(thing, *case.inputs)
    finally:
        keras.config.set_dtype_policy("float32")
    always = name.startswith((*FLOAT32_ALWAYS, "AudioNetwork"))
    assert_policy(thing, outputs, tf.float32 if always else tf.bfloat16)


def test_a_model_keeps_its_policy_when_it_is_loaded(tmp_path):
    keras_model = kav.VAE(**TINY, dtype="mixed_bfloat16")
    keras_model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.network.encoder.compute_dtype == keras_model.network.encoder.compute_dtype == "bfloat16"
    sound = noise(1, 1000, 1)
    assert_same(keras_model.reconstruct(sound), loaded.reconstruct(sound))


def test_every_public_layer_and_model_has_a_case():
    rooms = (kav.frontends, kav.layers, kav.losses, kav.models)
    public = {thing for room in rooms for thing in vars(room).values() if isinstance(thing, type)}
    concrete = {
        thing for thing in public if issubclass(thing, keras.layers.Layer) and thing is not kav.models.AudioAutoencoder
    }
    assert {thing.__name__ for thing in concrete} == {name.split()[0] for name in CASES}
