import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae import VAE
from tests.models.shared import noise, opened

TINY = {"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4}
SAMPLES = 1890
NO_SPECTRA = {"stft_weight": 0.0, "mel_weight": 0.0}  # most of the time goes into them
SHALLOW = {"widths": [8], "depths": [1], "strides": []}  # quick to trace
VARIANTS = {
    "target, clipped": {"clipnorm": 0.01, **SHALLOW, **NO_SPECTRA},
    "free bits, batch norm": {
        "rate_control": "free_bits",
        "free_bits": 0.5,
        "beta": 0.1,
        "latent_norm": "batch",
        **SHALLOW,
        **NO_SPECTRA,
    },
}


def batches(count=3, rows=4, samples=SAMPLES):
    """Batches of dictionaries; one chunk of each is padded."""
    data = {"waveform": noise(count * rows, samples, 1), "mask": np.ones((count * rows, samples), np.float32)}
    data["mask"][::rows, samples // 2 :] = 0.0
    data["waveform"] *= data["mask"][..., None]
    return tf.data.Dataset.from_tensor_slices(data).batch(rows, drop_remainder=True)


def make(optimizer=None, graph=False, **arguments):
    """A tiny model; a few steps cost less eagerly than the tracing of a graph does."""
    keras.utils.set_random_seed(0)
    model = VAE(**{**TINY, **arguments})
    model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=not graph, jit_compile=False)
    return model


def fit(model, data, epochs=2):
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False).history


def test_fit_logs_every_term_by_name_and_learns():
    tone = 0.3 * np.sin(2 * np.pi * 440 / 22050 * np.arange(SAMPLES))
    data = tf.data.Dataset.from_tensors({"waveform": np.tile(tone[None, :, None], (2, 1, 1))}).repeat(10)
    history = fit(make(keras.optimizers.Adam(3e-3), graph=True), data, epochs=3)
    assert set(history) == {"loss", "waveform", "stft", "mel", "kl", "rate_bps", "beta", "active_units"}
    assert np.isfinite(list(history.values())).all()
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    np.testing.assert_allclose(history["rate_bps"], np.array(history["kl"]) * 35 / np.log(2), rtol=1e-4)


def test_a_share_of_the_examples_is_decoded_from_the_mean():
    rows = make(mean_share=0.25)._noise(tf.constant([4000, 3, 2]), tf.constant(7)).numpy()
    silent = ~rows.any(axis=(1, 2))
    assert 0.22 < silent.mean() < 0.28
    np.testing.assert_allclose(rows[~silent].std(), 1.0, rtol=0.05)
    batch = {"waveform": noise(2, SAMPLES, 1)}
    for share, same in ((1.0, True), (0.0, False)):
        model = opened(make(mean_share=share))
        drawn, mean = (model.objective(model._padded(batch), 0, training)["mel"].numpy() for training in (True, False))
        assert (drawn == mean) == same


def test_loss_is_the_weighted_sum_of_its_terms():
    model = make(rate_control="constant", beta=0.01, waveform_weight=2.0, stft_weight=3.0, mel_weight=0.5)
    logs = model.evaluate(batches(), verbose=0, return_dict=True)
    expected = 2.0 * logs["waveform"] + 3.0 * logs["stft"] + 0.5 * logs["mel"] + 0.01 * logs["kl"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4) and logs["beta"] == pytest.approx(0.01)


def test_plain_arrays_and_dictionaries_train_alike():
    waveform = noise(5, SAMPLES, 1)
    forms = [waveform, {"waveform": waveform, "mask": np.ones((5, SAMPLES))}]
    results = []
    for form in forms:
        model = make(**NO_SPECTRA)
        history = model.fit(form, batch_size=2, epochs=1, verbose=0, shuffle=False).history
        results.append([*model.get_weights(), np.array(history["loss"])])
    for left, right in zip(*results, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_training_is_a_function_of_the_seed():
    first, again, other = (make(seed=seed, **NO_SPECTRA) for seed in (1, 1, 2))
    for model in (first, again, other):
        fit(model, batches(count=2), epochs=1)
    same = [np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True)]
    assert all(same)
    assert not np.allclose(first.network.head.kernel, other.network.head.kernel, atol=1e-7)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"frontend": "waveform", "upsampling": "transposed"},
        {"waveform_bands": 0},
        {"waveform_bands": 0, "latent_pooling": "global", "chunk_samples": 1890},
        {"latent_norm": "batch", "channels": 2, "latent_dim": 16},
        {"mse_weight": 1.0, "waveform_weight": 0.0, "stft_weight": 0.0, "mel_weight": 0.0},
    ],
    ids=str,
)
def test_gradients_reach_every_weight_once_training_has_begun(arguments):
    model = opened(make(rate_control="constant", **arguments))
    batch = model._padded(noise(2, SAMPLES, model.channels))
    with tf.GradientTape() as tape:
        loss = model.objective(batch, 1, training=True)["loss"]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        # What a batch normalisation subtracts again with the mean.
        cancels = variable is model.head.mean.dense.bias and "latent_norm" in arguments
        assert np.isfinite(gradient).all() and (cancels or np.abs(gradient).max() > 0), variable.path


@pytest.mark.parametrize("arguments", [{"latent_norm": "batch"}, {"frontend": "waveform"}], ids=str)
def test_silence_trains_with_finite_loss_and_weights(arguments):
    model = make(keras.optimizers.Adam(1e-2), **arguments)
    history = fit(model, tf.data.Dataset.from_tensors({"waveform": tf.zeros([2, SAMPLES, 1])}).repeat(3), epochs=1)
    assert np.isfinite(list(history.values())).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_clipping_bounds_the_step():
    steps = {}
    for clipnorm in (0.0, 0.05):
        model = make(keras.optimizers.SGD(1.0), clipnorm=clipnorm)
        before = [variable.numpy() for variable in model.trainable_variables]
        model.train_on_batch(noise(2, SAMPLES, 1))
        moved = [v.numpy() - b for v, b in zip(model.trainable_variables, before, strict=True)]
        steps[clipnorm] = np.sqrt(sum(np.sum(change**2) for change in moved))
    assert steps[0.0] > 0.1 and steps[0.05] == pytest.approx(0.05, rel=1e-3)


def test_target_rate_is_approached_while_training():
    """The rate stays at more than twice the target, so that each step raises the weight by the full percent."""
    data = tf.data.Dataset.from_tensors({"waveform": noise(2, 1260, 1)}).repeat(5)
    model = make(keras.optimizers.Adam(1e-3), target_bps=50.0, beta=0.01, **NO_SPECTRA)
    history = fit(model, data, epochs=1)
    assert history["rate_bps"][0] > 100.0
    assert float(model.rate_control.weight(0)) == pytest.approx(0.01 * np.exp(0.05), rel=1e-4)


def test_evaluate_is_deterministic_and_ignores_rows_of_padding():
    model = make()
    whole = {"waveform": noise(3, SAMPLES, 1), "mask": np.ones((3, SAMPLES), np.float32)}
    whole["mask"][2, 1000:] = 0.0
    whole["waveform"] *= whole["mask"][..., None]
    padded = {key: np.concatenate([value, np.zeros_like(value)]) for key, value in whole.items()}
    expected = model.evaluate(whole, batch_size=3, verbose=0, return_dict=True)
    for batch_size in (2, 6):
        logs = model.evaluate(padded, batch_size=batch_size, verbose=0, return_dict=True)
        comparable = set(logs) - ({"active_units"} if batch_size == 2 else set())  # it is a measure of a whole batch
        for name in comparable:
            assert logs[name] == pytest.approx(expected[name], rel=1e-4), name


def test_garbage_under_the_mask_changes_nothing():
    data = next(iter(batches()))
    dirty = {**data, "waveform": data["waveform"] + 3.0 * (1.0 - data["mask"][..., tf.newaxis])}
    model = make(latent_norm="batch")
    clean, other = (model.test_on_batch(batch, return_dict=True) for batch in (data, dirty))
    assert clean == pytest.approx(other, rel=1e-5)


def test_normalised_latents_keep_their_kl_over_the_frames_that_sound():
    """A steady tone differs far more from the padding after it than its frames do from each other."""
    tone = 0.3 * np.sin(2 * np.pi * 350 / 22050 * np.arange(12600))  # 350 Hz: every latent frame has the same sound
    mask = np.tile((np.arange(12600) < 10080).astype(np.float32), (2, 1))
    model = make(latent_norm="batch", latent_gamma=0.6)
    model.head.log_variance.bias.assign(tf.zeros(8))  # a deviation of 1 costs nothing
    batch = model._padded({"waveform": np.tile(tone[:, None], (2, 1, 1)), "mask": mask})
    assert float(model.objective(batch, 0, training=True)["kl"]) >= 0.98 * 8 * 0.6**2 / 2


def test_padding_costs_what_its_sound_does():
    waveform = noise(2, 1260, 1)
    padding = [(0, 0), (0, 1260), (0, 0)]
    mask = np.pad(np.ones((2, 1260), np.float32), padding[:2])
    model = make(rate_control="constant")
    plain = model.evaluate(waveform, verbose=0, return_dict=True)
    padded = model.evaluate({"waveform": np.pad(waveform, padding), "mask": mask}, verbose=0, return_dict=True)
    assert padded == pytest.approx(plain, rel=0.05)


def test_bfloat16_trains_with_finite_loss_and_float32_latents():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(keras.optimizers.Adam(1e-3))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(fit(model, batches(count=1))["loss"]).all()
    assert model.network.encoder.compute_dtype == "bfloat16"
    waveform = noise(2, SAMPLES, 1)
    assert model.encode(waveform).dtype == model.reconstruct(waveform).dtype == model.posterior(waveform).dtype
    assert model.encode(waveform).dtype == tf.float32
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_replicas_reach_the_weights_and_logs_of_one(variant, two_replicas):
    results = []
    for where in (tf.distribute.get_strategy(), two_replicas):
        with where.scope():
            model = opened(make(keras.optimizers.SGD(0.003), graph=True, **VARIANTS[variant]))
        history = fit(model, batches(count=2))
        results.append((history, [variable.numpy() for variable in model.variables if "mean/" not in variable.path]))
    (logs, weights), (logs_of_two, weights_of_two) = results
    for name, values in logs.items():
        np.testing.assert_allclose(logs_of_two[name], values, rtol=2e-4, err_msg=name)
    for left, right in zip(weights, weights_of_two, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)


def test_a_replica_whose_rows_are_all_padding_does_not_spoil_an_evaluation(two_replicas):
    data = {"waveform": noise(4, SAMPLES, 1), "mask": np.repeat([[1.0], [1.0], [0.0], [0.0]], SAMPLES, axis=1)}
    expected = make(**SHALLOW).evaluate({key: value[:2] for key, value in data.items()}, verbose=0, return_dict=True)
    with two_replicas.scope():
        model = make(graph=True, **SHALLOW)
    logs = model.evaluate(data, batch_size=4, verbose=0, return_dict=True)
    assert logs == pytest.approx(expected, rel=1e-4)
