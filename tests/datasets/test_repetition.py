"""The stream of batches is a function of (seed, step), from files and from a store, however it is read."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio_vae.datasets import Augmentation, ChunkPipeline, load, store

pytestmark = pytest.mark.usefixtures("large_blocks")
AUGMENTATION = Augmentation(gain_db=6.0, pitch_semitones=1.0, flip_polarity=True, noise_dbfs=(-60.0, -50.0))
PROGRAM = """
import sys
from keras_audio_vae.datasets import ChunkPipeline, load, order
order._FEWEST_TO_BLOCK = order._FEWEST_BLOCKS = 64
sys.path.insert(0, {tests!r})
from test_repetition import AUGMENTATION, digest
for source in sys.argv[1:]:
    pipeline = ChunkPipeline(load(source), sample_rate=8000, chunk_samples=1000, cache_gb=0.0)
    print(digest(pipeline.training(8, seed=3, augmentation=AUGMENTATION), 12))
held_at_exit = iter(pipeline.training(8))
next(held_at_exit)
"""


def digest(data, count):
    state = hashlib.sha256()
    for batch in itertools.islice(iter(data), count):
        state.update(batch["waveform"].numpy().tobytes() + batch["mask"].numpy().tobytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A folder of 16-bit files and a record store of it: the store loses nothing of such files."""
    folder, made = tmp_path_factory.mktemp("repetition"), tmp_path_factory.mktemp("made") / "store"
    for number, seconds in enumerate([0.05, 0.7, 30.0, 1.0, 4.0]):
        noise = np.random.default_rng(number).uniform(-0.4, 0.4, round(seconds * 8000))
        soundfile.write(folder / f"{number}.flac", noise, 8000)
    settings = store.StoreSettings(8000, 1, {"valid_fraction": 0.0, "test_fraction": 0.0})
    store.write_store(load(str(folder)), str(made), settings, writer="processes", workers=1)
    return {"files": str(folder), "store": str(made)}


@pytest.fixture(params=["memory", "files", "store"])
def pipeline(request, sources):
    source = sources["store" if request.param == "store" else "files"]
    return ChunkPipeline(
        load(source), sample_rate=8000, chunk_samples=1000, cache_gb=1.0 if request.param == "memory" else 0.0
    )


def stream(pipeline, first_step=0, seed=3):
    return pipeline.training(8, seed=seed, first_step=first_step, augmentation=AUGMENTATION)


def test_one_digest_for_every_way_to_read(pipeline, sources):
    memory = ChunkPipeline(load(sources["files"]), sample_rate=8000, chunk_samples=1000)
    expected = digest(stream(memory), 12)
    assert digest(stream(pipeline), 12) == digest(stream(pipeline), 12) == expected
    assert digest(stream(pipeline, seed=4), 12) != expected
    assert digest(pipeline.evaluation(8), 99) == digest(memory.evaluation(8), 99)


def test_from_the_middle(pipeline):
    tail = digest(iter_from(stream(pipeline), 5), 7)
    assert digest(stream(pipeline, first_step=5), 7) == tail


def iter_from(data, skip):
    return itertools.islice(iter(data), skip, None)


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_parallel_calls(pipeline, threads):
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    assert digest(stream(pipeline).with_options(options), 12) == digest(stream(pipeline), 12)


def test_two_replicas_together_see_what_one_sees(pipeline, two_replicas):
    data = two_replicas.experimental_distribute_dataset(stream(pipeline))
    for batch, expected in zip(data, itertools.islice(iter(stream(pipeline)), 5), strict=False):
        parts = two_replicas.experimental_local_results(batch["waveform"])
        np.testing.assert_array_equal(np.concatenate(parts), expected["waveform"])


def test_another_process(sources, pytestconfig):
    """It also comes to its end, though batches are still being read."""
    program = PROGRAM.format(tests=str(pytestconfig.rootpath / "tests/datasets"))
    command = [sys.executable, "-c", program, *sources.values()]
    there = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300).stdout.split()
    for source, found in zip(sources.values(), there, strict=True):
        here = ChunkPipeline(load(source), sample_rate=8000, chunk_samples=1000, cache_gb=0.0)
        assert found == digest(stream(here), 12)
