"""Training from disk: what is read, how much is kept, and what happens to files that fail."""

import itertools
import logging
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio_vae.audio import scan
from keras_audio_vae.datasets import ChunkPipeline, load
from keras_audio_vae.datasets.block_cache import BlockCache
from keras_audio_vae.datasets.chunks import plan_chunks
from keras_audio_vae.datasets.faults import Faults
from keras_audio_vae.datasets.order import Order
from keras_audio_vae.datasets.quiet import leave_out_quiet
from keras_audio_vae.datasets.reading import Reader
from keras_audio_vae.errors import UserError

RATE = 8000


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        noise = np.random.default_rng(number).uniform(-0.4, 0.4, 3 * RATE)
        soundfile.write(tmp_path / f"{number}.wav", noise, RATE)
    return tmp_path


def take(data, count):
    return list(itertools.islice(iter(data), count))


class CountingReader(Reader):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.samples_read = 0

    def read(self, index, start, count):
        self.samples_read += count
        return super().read(index, start, count)


def test_an_epoch_reads_the_corpus_about_once_and_keeps_little(tmp_path, large_blocks):
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.4, 0.4, 600 * RATE), RATE)
    reader = CountingReader(scan(tmp_path), RATE, 1)
    plan = plan_chunks(reader.lengths, 800, 0.5)
    order = Order(len(plan.start), batch_size=16)
    cache = BlockCache(reader, plan, order, before=400, after=1200)
    kept = []
    chunks, blocks = (part.numpy() for part in order.chunks(tf.range(order.steps_per_epoch, dtype=tf.int64)))
    for rows in zip(chunks, blocks, strict=True):
        for chunk, block in zip(*rows, strict=True):
            piece = cache.piece(int(chunk), int(block))
            start = int(plan.start[chunk])
            assert piece.start <= max(0, start - 400)
            assert piece.start + len(piece.waveform) >= min(start + 1200, 600 * RATE)
        kept.append(sum(len(future.result().waveform) for block in cache._blocks.values() for future in block.values()))
    # Of each chunk half is its neighbour's; a block reads its margins too, and about one lane in three starts anew.
    assert reader.samples_read < 1.8 * 600 * RATE, "chunk by chunk it would be six times the corpus"
    assert max(kept) < 0.4 * 600 * RATE


def empty_wav(path, samples):
    """Silence of any length that takes no room on the disk, 16 bits mono."""
    size, rate = 2 * samples, 22050
    sizes = (b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size)
    path.write_bytes(struct.pack("<4sI4s4sIHHIIHH4sI", *sizes))
    os.truncate(path, 44 + size)


TRAINING = """
import itertools, pathlib, re, sys
from keras_audio_vae.audio import scan
from keras_audio_vae.datasets import ChunkPipeline, pipeline
pipeline.BLOCK_SAMPLES = 1600
for path in sys.argv[1:]:
    # To measure the level takes a pass over all of it.
    chunks = ChunkPipeline(scan(path), chunk_samples=200, chunk_overlap=0.0, normalization="rms", cache_gb=0.0)
    assert chunks.num_chunks >= 4096, "from so many on, a corpus is drawn by blocks"
    assert all(batch["mask"].numpy().all() for batch in itertools.islice(iter(chunks.training(16)), 100))
    print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


def test_memory_of_training_does_not_depend_on_length(tmp_path):
    """The peak of a process of its own, after a short recording and after one that is 20 times as long."""
    samples = 4096 * 800
    for times in (1, 20):
        empty_wav(tmp_path / f"{times}.wav", times * samples)
    program = [sys.executable, "-c", TRAINING, tmp_path / "1.wav", tmp_path / "20.wav"]
    printed = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout
    short, long = (1024 * int(line) for line in printed.split())
    assert long - short < 20 * samples, "bytes; decoded whole, it would be four times that"


def test_a_chunk_from_disk_is_the_chunk_from_memory_at_another_rate(folder):
    cached, streamed = (
        ChunkPipeline(scan(folder), sample_rate=22050, chunk_samples=4410, cache_gb=size) for size in (1.0, 0.0)
    )
    for a, b in zip(take(cached.training(4, seed=2), 8), take(streamed.training(4, seed=2), 8), strict=True):
        np.testing.assert_allclose(a["waveform"], b["waveform"], atol=1e-5)
        np.testing.assert_array_equal(a["mask"], b["mask"])


@pytest.mark.parametrize("cache_gb", [1.0, 0.0])
def test_a_file_that_goes_missing_is_named_once_and_masked(folder, cache_gb, caplog):
    pipeline = ChunkPipeline(scan(folder), sample_rate=RATE, chunk_samples=1000, cache_gb=cache_gb)
    (folder / "3.wav").unlink()
    with caplog.at_level(logging.WARNING, logger="keras_audio_vae"):
        batches = take(pipeline.training(8), 20)
    for step, batch in enumerate(batches):
        for path, waveform, mask in zip(
            pipeline.files_of_step(step, 8), batch["waveform"].numpy(), batch["mask"].numpy(), strict=True
        ):
            assert mask.any() == waveform.any() == (not path.endswith("3.wav"))
    assert len(caplog.records) == 1 and "3.wav" in caplog.text
    assert list(pipeline.faults.reasons) == ["3.wav"] and pipeline.faults.fatal is None


def test_a_file_that_shrinks_is_masked_where_it_ends(folder):
    pipeline = ChunkPipeline(scan(folder), sample_rate=RATE, chunk_samples=1000, cache_gb=0.0)
    soundfile.write(folder / "0.wav", np.zeros(RATE), RATE)
    batches = take(pipeline.training(8), 20)
    assert any(not mask.any() for batch in batches for mask in batch["mask"].numpy())
    assert list(pipeline.faults.reasons) == ["0.wav"]


def test_a_disk_that_goes_missing_ends_the_training_in_words(folder):
    pipeline = ChunkPipeline(scan(folder), sample_rate=RATE, chunk_samples=1000, cache_gb=0.0)
    for file in folder.iterdir():
        file.unlink()
    take(pipeline.evaluation(8), 40)  # a split to watch can do without
    assert pipeline.faults.fatal is None
    with pytest.raises(tf.errors.OpError):
        take(pipeline.training(8), 60)
    assert isinstance(pipeline.faults.fatal, UserError) and "is the disk still there" in str(pipeline.faults.fatal)


def test_whole_recordings_come_in_stretches(folder, monkeypatch):
    monkeypatch.setattr("keras_audio_vae.datasets.pipeline._STRETCH_SECONDS", 1)
    pipeline = ChunkPipeline(scan(folder), sample_rate=RATE, chunk_samples=1000)
    stretches = [(recording.recording_id, waveform) for recording, waveform, _ in pipeline.recordings()]
    assert [name for name, _ in stretches[:4]] == ["0.wav", "0.wav", "0.wav", "1.wav"]
    whole, _ = soundfile.read(folder / "0.wav", dtype="float32")
    np.testing.assert_array_equal(np.concatenate([waveform for _, waveform in stretches[:3]])[:, 0], whole)


def test_quiet_chunks_are_left_out_or_thinned(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * RATE)
    sound[2 * RATE : 8 * RATE] *= 1e-4
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")

    def pipeline(**options):
        return ChunkPipeline(load(str(tmp_path)), sample_rate=RATE, chunk_samples=RATE, chunk_overlap=0.0, **options)

    assert (pipeline().num_chunks, pipeline().num_quiet) == (10, 0)
    for options in ({}, {"normalization": "peak"}):
        loud = pipeline(min_chunk_dbfs=-60.0, **options)
        assert (loud.num_chunks, loud.num_quiet) == (4, 6)
    thinned = pipeline(min_chunk_dbfs=-60.0, keep_quiet=0.5)
    assert (thinned.num_chunks, thinned.num_quiet) == (7, 3)
    with pytest.raises(UserError, match="min_chunk_dbfs"):
        pipeline(min_chunk_dbfs=-1.0)


def test_pieces_do_not_reach_over_what_was_left_out(tmp_path, large_blocks):
    """One sound every ten seconds: what is read around it does not grow with the silence between."""
    sound = np.zeros(600 * RATE)
    for second in range(0, 600, 10):
        sound[second * RATE : (second + 1) * RATE] = 0.5
    soundfile.write(tmp_path / "a.wav", sound, RATE)
    reader = CountingReader(scan(tmp_path), RATE, 1)
    plan = leave_out_quiet(plan_chunks(reader.lengths, 800, 0.5), reader, Faults(), limit_dbfs=-20.0, keep=0.0)
    order = Order(len(plan.start), batch_size=16)
    cache = BlockCache(reader, plan, order, before=400, after=1200)
    chunks, blocks = (part.numpy().ravel() for part in order.chunks(tf.range(order.steps_per_epoch, dtype=tf.int64)))
    longest = max(len(cache.piece(int(c), int(b)).waveform) for c, b in zip(chunks, blocks, strict=True))
    assert order.chunks_per_block > 1 and longest < 4 * RATE


@pytest.mark.parametrize("cache_gb", [1.0, 0.0])
def test_of_a_damaged_recording_the_rest_is_used(tmp_path, cache_gb):
    sound = np.random.default_rng(0).uniform(-0.4, 0.4, 60 * RATE).astype(np.float32)
    sound[55 * RATE] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    pipeline = ChunkPipeline(scan(tmp_path), sample_rate=RATE, chunk_samples=RATE, cache_gb=cache_gb)
    masks = np.concatenate([batch["mask"].numpy().any(axis=1) for batch in take(pipeline.training(16), 7)])
    assert 0.75 < masks.mean() < 1 and pipeline.faults.fatal is None
    assert len(pipeline.faults.reasons) == 1
