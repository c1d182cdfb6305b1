"""What reading costs: speed against plain decoding, memory against length, start-up against size.

    python -m benchmarks.input_pipeline

Everything is made in a temporary folder from the embedded recordings, so that files compress as music does. Each figure
of memory is that of a process of its own. It takes some ten minutes and 4 GB of disk.
"""

import argparse
import itertools
import json
import os
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
BATCH, BATCHES = 16, 400
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


def measured(work: Callable[[], float]) -> tuple[float, float]:
    """Audio-seconds per second, and CPU-seconds per hour of audio, of some work that returns its audio-seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    seconds = work()
    return seconds / (time.perf_counter() - start), (time.process_time() - cpu) / (seconds / 3600)


def plain_decoding(folder: Path, resampled: bool) -> float:
    """libsndfile, and soxr after it, over all files by as many threads as the pipeline has."""

    def decode(path: Path) -> float:
        waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
        if resampled:
            soxr.resample(waveform.mean(axis=1), rate, RATE, quality="HQ")
        return len(waveform) / rate

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(decode, sorted(folder.iterdir())))


def pipeline_of(source: Path) -> ChunkPipeline:
    """Chunks of a second, read while training."""
    return ChunkPipeline(load(str(source)), cache_gb=0.0)


def batches(source: Path) -> float:
    """Audio-seconds of some batches."""
    pipeline = pipeline_of(source)
    options = tf.data.Options()
    options.threading.private_threadpool_size = THREADS
    for _ in itertools.islice(iter(pipeline.training(BATCH).with_options(options)), BATCHES):
        pass
    return float(BATCHES * BATCH * pipeline.chunk_samples / RATE)


def print_rates(folder: Path) -> None:
    """Speed of every way to read, beside plain decoding."""
    write_files(folder / "flac", 40, 60.0, "flac")
    write_files(folder / "mp3", 40, 60.0, "mp3")
    for kind in ("flac", "mp3"):
        # Ten hours by links: what is larger than memory is drawn by larger blocks than what is not.
        (folder / f"{kind}.hours").mkdir()
        for number, file in itertools.product(range(15), sorted((folder / kind).iterdir())):
            os.link(file, folder / f"{kind}.hours" / f"{number}.{file.name}")
    settings = store.StoreSettings(RATE, 1, NO_SPLIT)
    store.write_store(load(str(folder / "flac")), str(folder / "store"), settings, writer="processes")
    rates = {}
    for name, work in {
        "FLAC 22,050 Hz, plain libsndfile": lambda: plain_decoding(folder / "flac", resampled=False),
        "FLAC 22,050 Hz, batches": lambda: batches(folder / "flac.hours"),
        "MP3 44,100 Hz stereo, libsndfile + soxr": lambda: plain_decoding(folder / "mp3", resampled=True),
        "MP3 44,100 Hz stereo, batches": lambda: batches(folder / "mp3.hours"),
        "record store, batches": lambda: batches(folder / "store"),
    }.items():
        work()
        rates[name] = max(measured(work) for _ in range(3))
        speed, work_per_hour = rates[name]
        print(f"{name:42} {speed:8.0f} audio-s/s  {work_per_hour:6.2f} CPU-s per audio-hour", flush=True)
    rate = [value for value, _ in rates.values()]
    print(
        f"FLAC / plain {rate[1] / rate[0]:.2f}, MP3 / plain {rate[3] / rate[2]:.2f},"
        f" store / FLAC {rate[4] / rate[1]:.1f}, store / MP3 {rate[4] / rate[3]:.1f}"
    )


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
        (folder / f"{number}.flac").write_bytes((folder / "one" / "0.flac").read_bytes())
    cache = str(folder.parent / "scan_cache")
    for name in ("first scan", "second scan"):
        start = time.perf_counter()
        load(str(folder), cache=cache)
        print(f"{name} of 10,000 files: {time.perf_counter() - start:.1f} s", flush=True)


def print_growth(folder: Path) -> None:
    """Start-up and memory of 1, 10 and 100 hours, as a folder and as a store.

    The folder's files are links to one file of a minute; the store is at 2,205 Hz, a tenth of the rate, so that it fits
    on small disks: opening it takes what its number of recordings takes.
    """
    folder.mkdir()
    write_files(folder / "one", 1, 60.0, "flac")
    os.environ["SCAN_CACHE"] = str(folder / "cache")
    for hours in (1, 10, 100):
        files, made = folder / f"{hours}", folder / f"{hours}.store"
        files.mkdir()
        for number in range(60 * hours):
            os.link(folder / "one" / "0.flac", files / f"{number}.flac")
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
            print_rates(Path(folder))
            print_lengths(Path(folder) / "lengths")
            print_scan(Path(folder) / "scan")
            print_growth(Path(folder) / "growth")


if __name__ == "__main__":
    main()
