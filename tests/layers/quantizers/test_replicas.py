import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers.quantizers.tokens import as_tokens
from tests.layers.quantizers.shared import CASES, train

ROOT = Path(__file__).parents[3]
IN_FOUR = ("ema",)


@functools.cache
def alone(name):
    return train(tf.distribute.get_strategy(), name)


@pytest.fixture(scope="module")
def four_replicas(tmp_path_factory):
    """What a process with four logical devices has got."""
    path = tmp_path_factory.mktemp("four") / "weights.npz"
    command = [sys.executable, "-m", "tests.layers.quantizers.shared", "4", str(path), *IN_FOUR]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(path) as archive:
        return dict(archive)


def assert_shared(several, one):
    """Every replica has the same state bit for bit, and it is that of one device on the same global batches."""
    assert several.keys() == one.keys()
    for key, parts in several.items():
        if key in ("codes", "vectors"):
            np.testing.assert_allclose(np.concatenate(parts), one[key][0], atol=1e-3, err_msg=key)
            continue
        if not key.startswith("losses/"):
            for part in parts[1:]:
                np.testing.assert_array_equal(part, parts[0], err_msg=key)
        np.testing.assert_allclose(np.mean(parts, axis=0), one[key][0], rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_two_replicas_learn_what_one_does(two_replicas, name):
    assert_shared(train(two_replicas, name), alone(name))


@pytest.mark.parametrize("name", IN_FOUR)
def test_four_replicas_learn_what_one_does(four_replicas, name):
    several = {key.split("/", 1)[1]: list(parts) for key, parts in four_replicas.items() if key.startswith(f"{name}/")}
    assert len(several["codes"]) == 4
    assert_shared(several, alone(name))


@pytest.mark.parametrize("name", ["ema", "gradient"])
def test_the_comparison_has_seen_restarts_and_kmeans(name):
    assert alone(name)["restarts"][0].sum() > 0
    assert alone(name)["measures/usage"][0].min() > 0.5


def test_a_sample_of_the_global_batch_is_the_same_everywhere(two_replicas):
    values = np.arange(24.0, dtype=np.float32).reshape(4, 6, 1)
    mask = np.array([[1, 0, 1, 1, 0, 0], [0] * 6, [1] * 6, [0, 0, 0, 0, 1, 1]], np.float32)
    kept = values[mask > 0]

    def draw(rows):
        def on_replica():
            first = 2 * tf.distribute.get_replica_context().replica_id_in_sync_group
            tokens = as_tokens(tf.constant(values)[first : first + 2], tf.constant(mask)[first : first + 2])
            return tokens.draw(rows, tf.constant([3, 9]))

        return on_replica

    for rows in (1, 4, 11, 16):
        expected, count = as_tokens(tf.constant(values), tf.constant(mask)).draw(rows, tf.constant([3, 9]))
        parts, counts = two_replicas.run(tf.function(draw(rows), autograph=False))
        for part in two_replicas.experimental_local_results(parts):
            np.testing.assert_array_equal(part, expected)
        assert (
            [int(n) for n in two_replicas.experimental_local_results(counts)] == [int(count)] * 2 == [min(rows, 11)] * 2
        )
        drawn = expected.numpy()[: int(count)]
        assert len(np.unique(drawn)) == len(drawn) and np.isin(drawn, kept).all()
        assert not expected.numpy()[int(count) :].any()


def test_a_sample_takes_every_token_equally_often():
    tokens = as_tokens(tf.range(10.0)[tf.newaxis, :, tf.newaxis], tf.ones([1, 10]))
    draw = tf.function(lambda seed: tokens.draw(4, tf.stack([0, seed]))[0], autograph=False)
    drawn = np.concatenate([draw(tf.constant(seed)).numpy().ravel() for seed in range(500)]).astype(int)
    np.testing.assert_allclose(np.bincount(drawn, minlength=10), np.full(10, 200), atol=50)
