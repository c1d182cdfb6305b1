import importlib
import json
import os
import subprocess
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.errors import UserError
from keras_audio_vae.models import VAE, VQVAE
from keras_audio_vae.serving import SIGNATURES, export, foreign_ops, verify
from keras_audio_vae.training import inference_copy, make_optimizer, make_strategy


@pytest.fixture(scope="module")
def model():
    """In stereo, built and compiled under a strategy of two replicas, with weights that are not the initial ones."""
    keras.utils.set_random_seed(0)
    strategy = make_strategy(2)
    with strategy.scope():
        model = VAE(widths=[8, 16], depths=[1, 1], latent_dim=12, waveform_bands=4, channels=2, latent_norm="batch")
        model.compile(optimizer=make_optimizer(model.trainable_variables))
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign_add(0.05 * random.standard_normal(weight.shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("served") / "1")


def test_fresh_process_without_keras_gives_the_same_numbers(model, exported):
    assert strategy_of(model) == "MirroredStrategy"
    # One sample, less than a hop, a hop and one more, and an odd length of many hops.
    verify(model, exported, shapes=((1, 1), (3, 209), (2, 631), (1, 22051)))


@pytest.mark.parametrize("frontend", ["stft", "waveform"])
def test_a_model_of_mixed_precision_is_exported_too(tmp_path, frontend):
    arguments = {"widths": [8], "depths": [1], "strides": [], "latent_dim": 8, "waveform_bands": 4}
    model = VAE(**arguments, frontend=frontend, dtype="mixed_bfloat16")
    path = export(model, tmp_path / "1")
    assert foreign_ops(path) == []
    signatures = tf.saved_model.load(str(path)).signatures
    for shape in ((1, 1, 1), (2, 1001, 1)):
        waveform = tf.random.stateless_uniform(shape, (0, 1), -0.5, 0.5)
        expected = model.reconstruct(waveform)
        np.testing.assert_allclose(signatures["reconstruct"](waveform=waveform)["waveform"], expected, atol=1e-5)
        latents = signatures["encode"](waveform=waveform)["latents"]
        np.testing.assert_allclose(latents, model.encode(waveform), atol=1e-5)
        decoded = signatures["decode"](latents=latents, num_samples=tf.fill(shape[:1], shape[1]))["waveform"]
        np.testing.assert_allclose(decoded, expected, atol=1e-5)


def strategy_of(model):
    return type(model.distribute_strategy).__name__


def spoilt(replies, how):
    """What a fresh process might have answered instead."""
    name = "0/encode/latents"
    other = {"nan": np.full_like(replies[name], np.nan), "shape": replies[name][:, 1:], "value": 1.0001 * replies[name]}
    return {**replies, name: other[how]}


@pytest.mark.parametrize(
    ("how", "said"),
    [("nan", "encode/latents by nan"), ("shape", "encode/latents with shape"), ("value", "by 0.0001, more than 1e-05")],
)
def test_other_numbers_are_noticed(model, exported, monkeypatch, how, said):
    module = importlib.import_module("keras_audio_vae.serving.verify")
    shapes = ((1, 1000),)
    _, replies = module._requests(model, shapes)
    monkeypatch.setattr(module, "_ask", lambda path, requests: replies)
    assert verify(model, exported, shapes=shapes) == 0.0
    monkeypatch.setattr(module, "_ask", lambda path, requests: spoilt(replies, how))
    with pytest.raises(UserError, match=said):
        verify(model, exported, shapes=shapes)


def test_export_is_inference_only_with_core_ops_and_open_shapes(model, exported):
    loaded = tf.saved_model.load(str(exported))
    assert set(loaded.signatures) == set(SIGNATURES)
    shapes = {
        name: {key: spec.shape.as_list() for key, spec in function.structured_input_signature[1].items()}
        for name, function in loaded.signatures.items()
    }
    assert shapes == {
        "serving_default": {"waveform": [None, None, 2]},
        "reconstruct": {"waveform": [None, None, 2]},
        "encode": {"waveform": [None, None, 2]},
        "decode": {"latents": [None, None, 12], "num_samples": [None]},
    }
    stored = tf.train.load_checkpoint(str(exported / "variables" / "variables")).get_variable_to_shape_map()
    assert not any("optimizer" in name or "moment" in name for name in stored)
    assert stored_values(exported) <= model.count_params()
    assert foreign_ops(exported) == []


def test_rows_of_a_batch_may_ask_for_different_lengths(exported):
    decode = tf.saved_model.load(str(exported)).signatures["decode"]
    latents = tf.random.stateless_normal((2, 4, 12), (0, 1))
    both = decode(latents=latents, num_samples=tf.constant([2000, 1701]))["waveform"].numpy()
    assert both.shape == (2, 2000, 2)
    for row, length in enumerate((2000, 1701)):
        alone = decode(latents=latents[row : row + 1], num_samples=tf.constant([length]))["waveform"].numpy()
        np.testing.assert_allclose(both[row : row + 1, :length], alone, atol=1e-5)
    assert not both[1, 1701:].any()
    too_long = decode(latents=latents, num_samples=tf.constant([9999, 10]))["waveform"]
    assert too_long.shape == (2, 4 * 630, 2)


def test_export_replaces_an_older_one_whole(exported, tmp_path, monkeypatch):
    path = tmp_path / "1"
    path.mkdir()
    for name in ("left_over", "saved_model.pb"):
        (path / name).write_text("old")
    for left_by_a_killed_export in (".1.partial", ".1.old"):
        (tmp_path / left_by_a_killed_export).mkdir()

    class Archive:
        def write_out(self, folder, verbose):
            os.makedirs(folder)

    module = importlib.import_module("keras_audio_vae.serving.export")  # the package names the function so too
    monkeypatch.setattr(module, "_archive", lambda model: Archive())
    export(VAE(widths=[4], depths=[0], strides=[], latent_dim=4, waveform_bands=0), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    assert not list(path.iterdir())


@pytest.mark.parametrize("content", ["folder", "file"])
def test_what_is_no_export_is_not_replaced(tmp_path, content):
    path = tmp_path / "1"
    if content == "folder":
        path.mkdir()
    mine = path / "thesis.tex" if content == "folder" else path
    mine.write_text("years of work")
    with pytest.raises(UserError, match=r"1 is there already, and is no export"):
        export(VAE(widths=[4], depths=[0], strides=[], latent_dim=4, waveform_bands=0), path)
    assert mine.read_text() == "years of work" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_export_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "1"
    path.mkdir()
    (path / "saved_model.pb").write_text("old")

    class Archive:
        def write_out(self, folder, verbose):
            raise OSError("disk full")

    module = importlib.import_module("keras_audio_vae.serving.export")
    monkeypatch.setattr(module, "_archive", lambda model: Archive())
    with pytest.raises(OSError, match="disk full"):
        export(VAE(widths=[4], depths=[0], strides=[], latent_dim=4, waveform_bands=0), path)
    assert (path / "saved_model.pb").read_text() == "old"


def test_a_process_that_dies_without_a_word_is_told_by_its_status(model, exported, monkeypatch):
    module = importlib.import_module("keras_audio_vae.serving.verify")
    died = subprocess.CompletedProcess([], returncode=-9, stdout="", stderr="")
    monkeypatch.setattr(module.subprocess, "run", lambda *args, **kwargs: died)
    with pytest.raises(UserError, match="does not run in a fresh process: it ended with status -9, without a word"):
        verify(model, exported, shapes=((1, 100),))


def test_saved_copy_holds_the_weights_once_and_computes_the_same(model, tmp_path):
    path = tmp_path / "model.keras"
    inference_copy(model).save(path)
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5").file_size
        assert not json.loads(archive.read("config.json"))["compile_config"]
    assert weights < 4 * model.count_params() + 200_000  # and HDF5's own tables, but not three copies more
    loaded = keras.saving.load_model(path)
    waveform = np.random.default_rng(1).uniform(-0.5, 0.5, (1, 1001, 2)).astype(np.float32)
    np.testing.assert_allclose(loaded.reconstruct(waveform), model.reconstruct(waveform), atol=1e-4)


def test_a_model_of_codes_serves_integers_and_nothing_of_its_training(tmp_path):
    codes = {"num_codebooks": 2, "codebook_size": 8, "code_dim": 0, "normalize_codes": False}
    model = VQVAE(widths=[8], depths=[1], strides=[], latent_dim=8, waveform_bands=4, **codes)
    model.compile(make_optimizer(model.trainable_variables), run_eagerly=True)
    model.fit(tf.random.stateless_normal([4, 6300, 1], (0, 1)), batch_size=4, verbose=0)
    path = export(model, tmp_path / "1")
    served = tf.saved_model.load(str(path))
    waveform = tf.random.stateless_normal([2, 1001, 1], (0, 2))
    encoded = served.signatures["encode"](waveform=waveform)["codes"]
    np.testing.assert_array_equal(encoded, model.encode(waveform))
    assert encoded.dtype == tf.int32
    decoded = served.signatures["decode"](codes=encoded, num_samples=tf.constant([1001, 500]))["waveform"]
    np.testing.assert_allclose(decoded[0], model.reconstruct(waveform)[0], atol=1e-5)
    np.testing.assert_array_equal(decoded[1, 500:], 0.0)
    assert foreign_ops(path) == []
    learnt = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    # And of each codebook the codes, their shares, and the running error by which these count; no sums or histograms.
    assert stored_values(path) == learnt + 2 * (8 * 8 + 8 + 2)


def stored_values(path):
    """How many numbers an export holds."""
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables")).get_variable_to_shape_map()
    return sum(int(np.prod(shape)) for name, shape in stored.items() if "VARIABLE_VALUE" in name)
