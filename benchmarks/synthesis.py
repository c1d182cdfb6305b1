"""What conversion to mel bands and back costs, with no model between: python -m benchmarks.synthesis.

Each recording is analysed and synthesised again by every method at 128 and 256 bands, 32 iterations each; `librosa`
searches phases for the magnitudes that our inversion finds, as its own takes minutes. --vocoder=runs/vocoder adds that
run of a vocoder, with the iterations that it has. Distances are means over the recordings; spectral convergence is that
of the STFT magnitudes at the front end's own window, against the original's.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import librosa
import numpy as np
import tensorflow as tf

from benchmarks.machine import describe_machine
from keras_audio_vae.datasets import ChunkPipeline, load, split
from keras_audio_vae.frontends import MelFrontEnd
from keras_audio_vae.frontends.mel import METHODS
from keras_audio_vae.frontends.mel_inversion import invert_mel
from keras_audio_vae.frontends.signal import analysis_window, stft
from keras_audio_vae.layers import VocoderNetwork
from keras_audio_vae.metrics.reconstruction import mel_distance, multi_resolution_stft_distance
from trainers.rundir import RunDirectory

SAMPLE_RATE, HOP, N_FFT, ITERATIONS = 22050, 441, 1764, 32
PASSES = 5  # over all recordings, for the speed

Conversion = Callable[[np.ndarray], np.ndarray]
"""A waveform, [samples], to bands and back to one that is as long or up to a hop longer."""


def ours(bands: int, method: str) -> Conversion:
    """Analysis and synthesis by the front end."""
    frontend = MelFrontEnd(SAMPLE_RATE, HOP, N_FFT, bands, method=method, iterations=ITERATIONS)
    return as_graph(lambda x: frontend.synthesize(frontend.features(x)))


def learnt(run: str) -> Conversion:
    """Analysis and synthesis by the vocoder of a run."""
    network = RunDirectory(run).load_model().network
    if not isinstance(network, VocoderNetwork) or (network.hop, network.mel.n_fft) != (HOP, N_FFT):
        raise SystemExit(f"--vocoder={run} must be the run of a vocoder with --hop={HOP} and --n_fft={N_FFT}")
    return as_graph(lambda x: network.decode(network.encode(x)))


def as_graph(convert: Callable[[tf.Tensor], tf.Tensor]) -> Conversion:
    """The conversion of batches, [1, samples, 1], as one graph."""
    graph = tf.function(convert, [tf.TensorSpec([1, None, 1])], autograph=False)
    return lambda waveform: graph(waveform[np.newaxis, :, np.newaxis]).numpy()[0, :, 0]


def librosas(bands: int) -> Conversion:
    """Our analysis and inversion, librosa's fast Griffin-Lim."""
    frontend = MelFrontEnd(SAMPLE_RATE, HOP, N_FFT, bands)
    before = (N_FFT - HOP) // 2

    @tf.function(input_signature=[tf.TensorSpec([1, None, 1])], autograph=False)
    def magnitudes(waveform: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(invert_mel(tf.pow(10.0, frontend.decades(waveform)), frontend.matrix))

    def convert(waveform: np.ndarray) -> np.ndarray:
        """Frames without padding, as ours are cut."""
        wanted = magnitudes(waveform[np.newaxis, :, np.newaxis]).numpy()[0].T
        window, length = analysis_window(N_FFT).numpy(), N_FFT + (wanted.shape[1] - 1) * HOP
        sound = librosa.griffinlim(
            wanted, n_iter=ITERATIONS, hop_length=HOP, n_fft=N_FFT, window=window, center=False, length=length,
            random_state=0,
        )  # fmt: skip
        return sound[before : before + wanted.shape[1] * HOP]

    return convert


def spectral_convergence(original: np.ndarray, estimate: np.ndarray) -> float:
    """Norm of the difference of the STFT magnitudes over the norm of the original's."""
    x, y = (np.abs(stft(tf.constant(signal[np.newaxis]), N_FFT, HOP)) for signal in (original, estimate))
    return float(np.linalg.norm(y - x) / np.linalg.norm(x))


def measure(convert: Conversion, waveforms: list[np.ndarray]) -> list[float]:
    """Mel distance, STFT distance and spectral convergence, means, and seconds of sound per second (median pass)."""
    convert(waveforms[0])  # tracing does not count
    seconds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        estimates = [convert(waveform)[: waveform.size] for waveform in waveforms]
        seconds.append(time.perf_counter() - start)
    distances = [
        (mel_distance(x, y, SAMPLE_RATE), multi_resolution_stft_distance(x, y), spectral_convergence(x, y))
        for x, y in zip(waveforms, estimates, strict=True)
    ]
    return [*np.mean(distances, axis=0), sum(x.size for x in waveforms) / SAMPLE_RATE / statistics.median(seconds)]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("valid", "test"), default="valid", help="part of the embedded set (valid)")
    parser.add_argument("--recordings", type=int, default=10, help="recordings of it, evenly spread (10)")
    parser.add_argument("--vocoder", help="a run of a vocoder, which is measured too")
    arguments = parser.parse_args()
    recordings = list(ChunkPipeline(split(load("fluidnotes"))[arguments.split]).recordings())
    chosen = np.linspace(0, len(recordings) - 1, min(arguments.recordings, len(recordings))).round().astype(int)
    waveforms = [np.asarray(recordings[index][1][:, 0], np.float32) for index in chosen]
    print(describe_machine())
    print("\n| method | bands | mel distance | STFT distance | spectral convergence | times real time |")
    print("|---|---|---|---|---|---|")
    for bands in (128, 256):
        for method in METHODS:
            print_row(method, bands, ours(bands, method), waveforms)
        print_row("librosa.griffinlim", bands, librosas(bands), waveforms)
    if arguments.vocoder:
        bands = RunDirectory(arguments.vocoder).settings().mel_bands
        print_row("vocoder", bands, learnt(arguments.vocoder), waveforms)


def print_row(name: str, bands: int, convert: Conversion, waveforms: list[np.ndarray]) -> None:
    """Measures a conversion."""
    mel, spectral, convergence, speed = measure(convert, waveforms)
    print(f"| {name} | {bands} | {mel:.3f} | {spectral:.3f} | {convergence:.3f} | {speed:.0f} |", flush=True)


if __name__ == "__main__":
    main()
