"""How fast a long recording is reconstructed, and in how much memory: python -m benchmarks.reconstruction.

The recordings of the embedded test split, one after another, again and again up to `--minutes`, go through the model of
configs/vae.flags (its weights do not change its speed) in one call of `reconstruct`.
"""

import argparse
import resource
import time

import numpy as np

import keras_audio_vae as kav
from benchmarks.machine import describe_machine
from keras_audio_vae.datasets import ChunkPipeline, load, split
from trainers.flags import parse
from trainers.settings import FitSettings


def long_recording(seconds: float, sample_rate: int) -> np.ndarray:
    """The test recordings in a row, float32 [1, samples, 1]."""
    pipeline = ChunkPipeline(split(load("fluidnotes"))["test"], sample_rate=sample_rate)
    sound = np.concatenate([waveform for _, waveform, _ in pipeline.recordings()])
    return np.resize(sound, [1, round(seconds * sample_rate), 1])


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the recording, minutes (10)")
    arguments = parser.parse_args()
    settings = parse(FitSettings, ["--flagfile=configs/vae.flags"])
    model = kav.VAE(**settings.model_arguments())
    sound = long_recording(60 * arguments.minutes, settings.sample_rate)
    model.reconstruct(sound[:, : 60 * settings.sample_rate])  # builds the graph for a whole block and for the last one
    start = time.perf_counter()
    result = model.reconstruct(sound)
    seconds = time.perf_counter() - start
    assert result.shape == sound.shape
    print(describe_machine())
    print(f"{arguments.minutes:g} minutes in {seconds:.1f} s: {60 * arguments.minutes / seconds:.0f} times real time")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
