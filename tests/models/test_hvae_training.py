import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae import HVAE
from keras_audio_vae.losses.masking import frame_mask
from keras_audio_vae.models.level_rates import make_rate_controls, update
from tests.models.shared import noise, opened

TOP = {"top_dim": 3, "top_stride": 2, "top_width": 8, "top_depth": 1, "vamp_components": 4, "coarse_bands": 6}
TINY = {"widths": [8, 16], "depths": [1, 1], "latent_dim": 8, "waveform_bands": 4, **TOP}
NO_SPECTRA = {"stft_weight": 0.0, "mel_weight": 0.0}  # they take most of the time that tracing takes
SHALLOW = {"widths": [8], "depths": [1], "strides": [], **NO_SPECTRA}
SAMPLES = 2520


def batches(count=3, rows=4):
    """Batches of dictionaries; of one chunk in each only the first frames of either level sound."""
    data = {"waveform": noise(count * rows, SAMPLES, 1), "mask": np.ones((count * rows, SAMPLES), np.float32)}
    data["mask"][::rows, SAMPLES // 4 :] = 0.0
    data["waveform"] *= data["mask"][..., None]
    return tf.data.Dataset.from_tensor_slices(data).batch(rows, drop_remainder=True)


def make(optimizer=None, graph=False, **arguments):
    keras.utils.set_random_seed(0)
    model = HVAE(**{**TINY, **arguments})
    model.compile(optimizer or keras.optimizers.SGD(0.1), run_eagerly=not graph, jit_compile=False)
    return model


def fit(model, data, epochs=2):
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False).history


def test_fit_logs_every_term_of_each_level_and_learns():
    tone = 0.3 * np.sin(2 * np.pi * 440 / 22050 * np.arange(SAMPLES))
    data = tf.data.Dataset.from_tensors({"waveform": np.tile(tone[None, :, None], (2, 1, 1))}).repeat(10)
    logs = fit(make(keras.optimizers.Adam(3e-3), graph=True, hop=630, n_fft=1260, **SHALLOW), data, epochs=3)
    of_levels = {
        f"{name}_{level}" for name in ("kl", "rate_bps", "beta", "active_units") for level in ("top", "bottom")
    }
    terms = {"loss", "waveform", "coarse", "kl", "rate_bps", "beta", "top_share"}
    assert set(logs) == terms | of_levels
    assert np.isfinite(list(logs.values())).all()
    assert logs["loss"][-1] < 0.8 * logs["loss"][0] and logs["coarse"][-1] < logs["coarse"][0]
    top, bottom = (np.array(logs[f"kl_{level}"]) for level in ("top", "bottom"))
    np.testing.assert_allclose(logs["rate_bps_top"], top * 17.5 / np.log(2), rtol=1e-4)
    np.testing.assert_allclose(logs["rate_bps_bottom"], bottom * 35 / np.log(2), rtol=1e-4)
    np.testing.assert_allclose(logs["kl"], bottom + top / 2, rtol=1e-4)
    np.testing.assert_allclose(logs["rate_bps"], np.array(logs["kl"]) * 35 / np.log(2), rtol=1e-4)


def objective(model, data=None, training=False, step=0):
    batch = model._padded(next(iter(batches(count=1))) if data is None else data)
    return {name: float(value) for name, value in model.objective(batch, step, training).items()}


def test_the_loss_is_the_weighted_sum_of_its_terms():
    weights = {"waveform_weight": 2.0, "stft_weight": 3.0, "mel_weight": 0.5, "coarse_weight": 0.7}
    logs = objective(make(**weights, rate_control="constant", beta=0.01, top_beta=0.03))
    distances = 2.0 * logs["waveform"] + 3.0 * logs["stft"] + 0.5 * logs["mel"] + 0.7 * logs["coarse"]
    paid = 0.01 * logs["kl_bottom"] + 0.03 * logs["kl_top"]
    assert logs["loss"] == pytest.approx(distances + paid, rel=1e-4)
    assert logs["kl"] * logs["beta"] == pytest.approx(paid, rel=1e-4)  # as in a model of one level
    assert logs["beta_top"] == pytest.approx(0.03) and logs["beta_bottom"] == pytest.approx(0.01)


def test_kl_is_that_of_the_frames_that_sound():
    model, data = make(), next(iter(batches(count=1)))
    expected = []
    kl = model.kl_per_dimension(data["waveform"])
    for level, hop in zip(kl, (1260, 630), strict=True):
        sounding = frame_mask(data["mask"], hop).numpy()
        assert 0 < sounding.mean() < 1
        per_frame = np.sum(level, axis=-1)
        expected.append(np.mean((per_frame * sounding).sum(axis=1) / sounding.sum(axis=1)))
    logs = objective(model, data)
    assert (logs["kl_top"], logs["kl_bottom"]) == pytest.approx(expected, rel=1e-3)


def test_free_bits_of_each_level_charge_what_lies_beyond_its_own():
    kl = make().kl_per_dimension(noise(4, SAMPLES, 1))
    mean = [np.mean(level, axis=(0, 1)) for level in kl]
    limits = [float(np.median(level)) for level in mean]
    how = {
        "rate_control": "free_bits",
        "beta": 0.5,
        "free_bits": limits[1],
        "top_beta": 0.25,
        "top_free_bits": limits[0],
    }
    logs = objective(make(**how), noise(4, SAMPLES, 1))
    free = objective(make(**{**how, "beta": 0.0, "top_beta": 0.0}), noise(4, SAMPLES, 1))
    charged = [np.sum(np.maximum(level, limit)) for level, limit in zip(mean, limits, strict=True)]
    assert logs["loss"] - free["loss"] == pytest.approx(0.25 * charged[0] + 0.5 * charged[1], rel=1e-3)


def test_each_level_is_held_at_its_own_rate():
    """Two coders that answer to the price of their bits; the targets are met whatever the other does."""
    config = {
        **{"rate_control": "target", "warmup_steps": 1, "warmup_order": "together", "top_stride": 5},
        **{"beta": 1e-4, "target_bps": 2700.0, "free_bits": 0.0},
        **{"top_beta": 1e-2, "top_target_bps": 300.0, "top_free_bits": 0.0},
    }
    controls = make_rate_controls(config, frames_per_second=35.0)
    nats = [tf.Variable(0.0), tf.Variable(0.0)]

    @tf.function
    def train(steps):
        for _ in tf.range(steps):
            logs = {}
            for level, dims, control, spent in zip(("top", "bottom"), (32, 96), controls, nats, strict=True):
                # A Gaussian source spends half a nat less each time its price doubles; the coder follows slowly.
                weight = control.weight(0)
                spent.assign_add(0.1 * (dims * tf.maximum(0.0, 0.5 * tf.math.log(1.0 / weight)) - spent))
                logs |= {f"kl_{level}": spent, f"beta_{level}": weight}
            update(controls, logs)

    train(2000)
    rates = [float(control.bits_per_second(spent)) for control, spent in zip(controls, nats, strict=True)]
    assert rates == pytest.approx([300.0, 2700.0], rel=0.02)


@pytest.mark.parametrize(("order", "first"), [("top", "top"), ("bottom", "bottom")])
def test_one_level_is_charged_from_the_start_and_the_other_later(order, first):
    prices = {"beta": 0.01, "top_beta": 0.02, "target_bps": 1.0, "top_target_bps": 1.0}
    model = make(warmup_order=order, warmup_steps=3, **prices, **NO_SPECTRA)
    later = "bottom" if first == "top" else "top"
    full = {"top": 0.02, "bottom": 0.01}
    seen = [model.train_on_batch(noise(2, SAMPLES, 1), return_dict=True) and objective_weights(model) for _ in range(5)]
    # After each of three steps the first one's price has risen by a percent, and the other's after the fourth.
    assert [weights[later] for weights in seen[:2]] == [0.0, 0.0]
    assert seen[2][later] == pytest.approx(full[later], rel=1e-4)
    assert seen[4][later] == pytest.approx(full[later] * np.exp(0.02), rel=1e-4)
    assert seen[4][first] == pytest.approx(full[first] * np.exp(0.05), rel=1e-4)


def objective_weights(model):
    step = int(model.optimizer.iterations)
    return {level: float(control.weight(step)) for level, control in model.rate_controls._asdict().items()}


def test_levels_are_drawn_with_noise_of_their_own_and_the_same_examples_by_their_means():
    model = make(mean_share=0.5, latent_dim=4, top_dim=4)
    drawing = model._drawing(tf.constant(3))
    standard = tfp.distributions.Normal(tf.zeros([4000, 2, 4]), 1.0)
    top, bottom = (drawing(level, standard).numpy() for level in ("top", "bottom"))
    silent = ~top.any(axis=(1, 2))
    assert 0.45 < silent.mean() < 0.55
    np.testing.assert_array_equal(silent, ~bottom.any(axis=(1, 2)))
    assert abs(np.corrcoef(top[~silent].ravel(), bottom[~silent].ravel())[0, 1]) < 0.03
    np.testing.assert_allclose(top[~silent].std(), 1.0, rtol=0.05)


def test_the_coarse_term_trains_the_top_alone():
    """What is read off z2 has nothing to learn from the bottom, the linear path or the decoder."""
    model = opened(make(keras.optimizers.SGD(0.1)))
    batch = model._padded(noise(2, SAMPLES, 1))
    with tf.GradientTape() as tape:
        coarse = model.objective(batch, 0, training=True)["coarse"]
    gradients = dict(
        zip((v.path for v in model.trainable_variables), tape.gradient(coarse, model.trainable_variables), strict=True)
    )
    reached = {path for path, gradient in gradients.items() if gradient is not None}
    own = [model.levels.bottom_up, model.levels.top_down, model.levels.top_head, model.outline, model.network.encoder]
    assert reached == {weight.path for layer in own for weight in layer.trainable_variables}


def test_without_the_coarse_term_there_is_no_weight_or_log_of_it():
    model = make(coarse_weight=0.0)
    assert model.outline is None and "coarse" not in objective(model)
    assert model.count_params() == make().count_params() - 9 * 6


@pytest.mark.parametrize("arguments", [{}, {"top_prior": "vamp", "channels": 2, "latent_dim": 16}], ids=str)
def test_gradients_reach_every_weight_once_training_has_begun(arguments):
    model = opened(make(rate_control="constant", **arguments))
    batch = model._padded(noise(2, SAMPLES, model.channels))
    with tf.GradientTape() as tape:
        loss = model.objective(batch, 1, training=True)["loss"]
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert gradient is not None, weight.path
        gradient = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, weight.path


def test_silence_and_bfloat16_train_with_finite_loss_and_weights():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(keras.optimizers.Adam(1e-2), top_prior="vamp", **NO_SPECTRA)
    finally:
        keras.config.set_dtype_policy("float32")
    silence = batches(count=2).map(lambda batch: {**batch, "waveform": tf.zeros_like(batch["waveform"])})
    assert np.isfinite(list(fit(model, batches(count=1).concatenate(silence), epochs=1).values())).all()
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert model.levels.bottom_up.compute_dtype == "bfloat16"
    assert {level.dtype for level in model.encode(noise(1, SAMPLES, 1))} == {tf.float32}


def test_training_is_a_function_of_the_seed_and_evaluation_has_no_noise():
    first, again, other = (make(seed=seed, **NO_SPECTRA) for seed in (1, 1, 2))
    for model in (first, again, other):
        fit(model, batches(count=2), epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    assert not np.allclose(first.network.head.kernel, other.network.head.kernel, atol=1e-7)
    assert objective(first, step=5) == objective(first, step=5)


def test_two_replicas_reach_the_weights_and_logs_of_one(two_replicas):
    variant = {"top_prior": "vamp", "clipnorm": 0.01, "warmup_order": "bottom", "warmup_steps": 2}
    results = []
    for where in (tf.distribute.get_strategy(), two_replicas):
        with where.scope():
            model = opened(make(keras.optimizers.SGD(0.003), graph=True, **SHALLOW, **variant))
        history = fit(model, batches(count=2))
        results.append((history, [variable.numpy() for variable in model.variables if "mean/" not in variable.path]))
    (logs, weights), (logs_of_two, weights_of_two) = results
    for name, values in logs.items():
        np.testing.assert_allclose(logs_of_two[name], values, rtol=2e-4, atol=1e-6, err_msg=name)
    for left, right in zip(weights, weights_of_two, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)
