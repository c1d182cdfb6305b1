"""What reading costs: speed against plain decoding, memory against length, start-up against size.

    python -m benchmarks.input_pipeline [--part=rates|lengths|scan|growth]

Everything is made in a temporary folder from the embedded recordings, so that files compress as music does. Each figure
of memory is that of a process of its own. It takes some twenty minutes and 4 GB of disk.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr
import tensorflow as tf

from benchmarks.machine import describe_machine
from keras_audio_vae.audio import WavWriter
from keras_audio_vae.datasets import ChunkPipeline, load, store

RATE = 22050
BATCH, BATCHES, ROUNDS = 16, 300, 5
WARM_UP = 200  # batches, in which the blocks of all lanes are read for the first time
THREADS = 2
NO_SPLIT = {"valid_fraction": 0.0, "test_fraction": 0.0}


def music(seconds: float) -> np.ndarray:
    """The embedded recordings in a row, again and again: float32 [samples]."""
    pipeline = ChunkPipeline(load("fluidnotes"))
    sound = np.concatenate([waveform[:, 0] for _, waveform, _ in pipeline.recordings()])
    return np.resize(sound, round(seconds * RATE))


def write_files(folder: Path, count: int, seconds: float, suffix: str) -> None:
    """A folder of equal files: FLAC at 22,050 Hz mono, or MP3 at 44,100 Hz stereo."""
    folder.mkdir()
    sound = music(count * seconds).reshape(count, -1)
    for number, part in enumerate(sound):
        if suffix == "mp3":
            stereo = np.repeat(soxr.resample(part, RATE, 2 * RATE)[:, None], 2, axis=1)
            soundfile.write(folder / f"{number}.mp3", stereo, 2 * RATE)
        else:
            soundfile.write(folder / f"{number}.flac", part, RATE)


def plain_decoding(folder: Path, resampled: bool) -> float:
    """libsndfile, and soxr after it, over all files by as many threads as the pipeline has: audio-seconds."""

    def decode(path: Path) -> float:
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if resampled:
            soxr.resample(waveform.mean(axis=1), rate, RATE, quality="HQ")
        return len(waveform) / rate

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(decode, sorted(folder.iterdir())))


def with_threads(data: tf.data.Dataset) -> tf.data.Dataset:
    """A data set that has as many threads as plain decoding has."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = THREADS
    return data.with_options(options)


def training(source: Path, overlap: float) -> tf.data.Dataset:
    """Training batches of chunks of a second, read while training."""
    pipeline = ChunkPipeline(load(str(source)), chunk_overlap=overlap, cache_gb=0.0)
    return with_threads(pipeline.training(BATCH))


def in_memory() -> tf.data.Dataset:
    """Batches of 16-bit samples that are in memory: what tf.data, a call into Python and the batch itself cost."""
    integers = np.zeros((BATCH, RATE, 1), np.int16)

    def make(_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.multiply(integers, np.float32(2**-15)), np.ones((BATCH, RATE), np.float32)

    numbers = tf.data.Dataset.range(tf.int64.max)
    calls = numbers.map(lambda number: tf.numpy_function(make, [number], (tf.float32, tf.float32)), tf.data.AUTOTUNE)
    return with_threads(calls.prefetch(2))


def taking(data: tf.data.Dataset) -> Callable[[], float]:
    """A function that takes the next batches and returns their audio-seconds; the blocks of all lanes are read."""
    iterator = iter(data)

    def take(batches: int = BATCHES) -> float:
        for _ in itertools.islice(iterator, batches):
            pass
        return float(batches * BATCH)

    take(WARM_UP)
    return take


def measured(work: Callable[[], float]) -> np.ndarray:
    """Wall seconds and CPU-seconds that work takes for a second of audio: float64 [2]."""
    start, cpu = time.perf_counter(), time.process_time()
    seconds = work()
    return np.array([time.perf_counter() - start, time.process_time() - cpu]) / seconds


def make_sources(folder: Path) -> None:
    """Forty minutes of music as FLAC and MP3; ten hours of copies of them; and a store of those."""
    for kind in ("flac", "mp3"):
        write_files(folder / kind, 40, 60.0, kind)
        (folder / f"{kind}.hours").mkdir()
        for number, file in itertools.product(range(15), sorted((folder / kind).iterdir())):
            shutil.copyfile(file, folder / f"{kind}.hours" / f"{number}.{file.name}")
    settings = store.StoreSettings(RATE, 1, NO_SPLIT)
    store.write_store(load(str(folder / "flac.hours")), str(folder / "store"), settings, writer="processes")


def print_rates(folder: Path) -> None:
    """Speed of every way to read, beside plain decoding: medians of rounds, in each of which all take turns."""
    folder.mkdir()
    make_sources(folder)
    work = {
        "FLAC, plain": lambda: plain_decoding(folder / "flac", resampled=False),
        "MP3, plain": lambda: plain_decoding(folder / "mp3", resampled=True),
        "in memory": taking(in_memory()),
    }
    for kind, source in (("FLAC", "flac.hours"), ("MP3", "mp3.hours"), ("store", "store")):
        for overlap in (0.5, 0.0):
            work[f"{kind}, overlap {overlap}"] = taking(training(folder / source, overlap))
    turns = [{name: measured(one) for name, one in work.items()} for _ in range(ROUNDS)]
    rounds = {name: np.array([turn[name] for turn in turns]) for name in work}
    for name, costs in rounds.items():
        wall, cpu = np.median(costs, axis=0)
        print(f"{name:20} {1 / wall:8.0f} audio-s/s  {3600 * cpu:6.2f} CPU-s per audio-hour", flush=True)
    for overlap in ("overlap 0.5", "overlap 0.0"):
        for faster, slower in (
            (f"FLAC, {overlap}", "FLAC, plain"),
            (f"MP3, {overlap}", "MP3, plain"),
            (f"store, {overlap}", f"FLAC, {overlap}"),
            (f"store, {overlap}", f"MP3, {overlap}"),
            ("in memory", f"FLAC, {overlap}"),
        ):
            wall, cpu = np.median(rounds[slower] / rounds[faster], axis=0)
            print(f"{faster} / {slower}: {wall:.2f} by the clock, {cpu:.2f} by CPU time", flush=True)


def in_own_process(*arguments: str) -> dict:
    """Runs a part of this benchmark in a process of its own, and returns what it printed."""
    command = [sys.executable, "-m", "benchmarks.input_pipeline", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def start_up(source: str) -> dict:
    """Time to the first batch, and peak memory after a hundred."""
    start = time.perf_counter()
    pipeline = ChunkPipeline(load(source, cache=os.environ["SCAN_CACHE"]))
    batches = iter(pipeline.training(BATCH))
    next(batches)
    first = time.perf_counter() - start
    for _ in itertools.islice(batches, 100):
        pass
    return {
        "first": first,
        "memory": peak_memory(),
        "hours": float(pipeline.reader.lengths.sum() / 3600 / pipeline.sample_rate),
    }


def reconstruction(source: str) -> dict:
    """Peak memory of `trainers.reconstruct`'s work on one file."""
    import keras_audio_vae as kav
    from trainers.reconstruct import reconstruct
    from trainers.settings import FitSettings

    settings = FitSettings()
    model = kav.VAE(**settings.model_arguments())
    with tempfile.TemporaryDirectory() as folder:
        reconstruct(model, load(source).recordings[0], settings, Path(folder) / "out.wav")
    return {"memory": peak_memory()}


def peak_memory() -> float:
    """Of this process so far, MiB."""
    # Not getrusage: what that counts goes on from the process that started this one.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def print_lengths(folder: Path) -> None:
    """Memory against the length of one recording."""
    sound = music(600.0)[:, None]
    folder.mkdir()
    for minutes in (10, 60, 180):
        path = folder / f"{minutes}.wav"
        with WavWriter(path, RATE, 1) as writer:
            for _ in range(minutes // 10):
                writer.write(sound)
        trained, sent = in_own_process("--start_up", str(path)), in_own_process("--reconstruct", str(path))
        print(
            f"one WAV of {minutes:3d} minutes: training {trained['memory']:.0f} MiB at most, first batch after"
            f" {trained['first']:.1f} s; reconstruction {sent['memory']:.0f} MiB at most",
            flush=True,
        )
        path.unlink()


def print_scan(folder: Path) -> None:
    """Ten thousand small files, found twice."""
    folder.mkdir()
    write_files(folder / "one", 1, 0.5, "flac")
    for number in range(10_000):
        shutil.copyfile(folder / "one" / "0.flac", folder / f"{number}.flac")
    cache = str(folder.parent / "scan_cache")
    for name in ("first scan", "second scan"):
        start = time.perf_counter()
        load(str(folder), cache=cache)
        print(f"{name} of 10,000 files: {time.perf_counter() - start:.1f} s", flush=True)


def print_growth(folder: Path) -> None:
    """Start-up and memory of 1, 10 and 100 hours, as a folder and as a store.

    The folder's files are copies of a minute of silence, and the store is at 2,205 Hz, a tenth of the rate, so that
    they fit on small disks: opening them takes what their number takes.
    """
    folder.mkdir()
    soundfile.write(folder / "silence.flac", np.zeros(60 * RATE), RATE)
    os.environ["SCAN_CACHE"] = str(folder / "cache")
    for hours in (1, 10, 100):
        files, made = folder / f"{hours}", folder / f"{hours}.store"
        files.mkdir()
        for number in range(60 * hours):
            shutil.copyfile(folder / "silence.flac", files / f"{number}.flac")
        store.write_store(load(str(files)), str(made), store.StoreSettings(2205, 1, NO_SPLIT), writer="processes")
        for name, source in (("folder", files), ("folder again", files), ("store", made)):
            found = in_own_process("--start_up", str(source))
            print(
                f"{hours:3d} hours, {name:12}: first batch after {found['first']:5.1f} s, {found['memory']:.0f} MiB",
                flush=True,
            )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"rates": print_rates, "lengths": print_lengths, "scan": print_scan, "growth": print_growth}
    parser.add_argument("--part", choices=parts, help="only this part")
    parser.add_argument("--start_up", help=argparse.SUPPRESS)
    parser.add_argument("--reconstruct", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("SCAN_CACHE", "")
    if arguments.start_up:
        print(json.dumps(start_up(arguments.start_up)))
    elif arguments.reconstruct:
        print(json.dumps(reconstruction(arguments.reconstruct)))
    else:
        print(describe_machine())
        with tempfile.TemporaryDirectory() as folder:
            for name, print_part in parts.items():
                if arguments.part in (None, name):
                    print_part(Path(folder) / name)


if __name__ == "__main__":
    main()
