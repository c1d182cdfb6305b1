"""Does an export give the numbers of the model it was made from, where only TensorFlow is installed?"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_audio_vae.errors import UserError
from keras_audio_vae.serving import fresh_process

SHAPES = ((1, 1), (1, 4410), (3, 22050), (2, 30001))
SMALLEST = 1e-3  # an output that stays below this is compared with it: rounding inside a model does not shrink with it


def verify(
    model: Any,
    path: str | os.PathLike[str],
    *,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    tolerance: float = 1e-5,
) -> float:
    """Loads an export in a fresh process that imports neither this package nor Keras, and compares all signatures.

    Both sides compute on the CPU with as many threads, where the same ops give the same numbers; a GPU rounds
    differently, and so does another number of threads.

    Args:
        model: The model that was exported.
        path: The export.
        shapes: Pairs of batch size and number of samples to try.
        tolerance: The largest difference that is accepted, relative to the largest value of the output. Where both
            sides compute alike, trained models gave the same numbers to the bit; one thread against two gave 8e-7, the
            rounding of float32 in a deep network. Ten times that is room for machines where something else rounds
            differently, and a wrong weight or op is far above it.

    Returns:
        The largest difference found, relative to the largest value of its output.

    Raises:
        UserError: the export can't be loaded, needs ops that are not TensorFlow's own, or gives other numbers.

    Example:
        >>> verify(None, "no/such/export", shapes=())
        Traceback (most recent call last):
        ...
        keras_audio_vae.errors.UserError: no/such/export holds no saved_model.pb: export the model there first.
    """
    path = Path(path)
    if not (path / "saved_model.pb").exists():
        raise UserError(f"{path} holds no saved_model.pb: export the model there first.")
    foreign = foreign_ops(path)
    if foreign:
        raise UserError(f"{path} needs ops that a server does not have: {', '.join(foreign)}.")
    with tf.device("/CPU:0"):
        requests, expected = _requests(model, shapes)
    replies = _ask(path, requests)
    worst = 0.0
    for name, value in expected.items():
        if replies[name].shape != value.shape:
            raise UserError(f"{path} gives {name} with shape {replies[name].shape}, and the model with {value.shape}.")
        largest = max(float(np.abs(value).max(initial=0.0)), SMALLEST)
        difference = float(np.abs(replies[name] - value).max(initial=0.0)) / largest
        # Not `difference > tolerance`: a NaN must not pass.
        if not difference <= tolerance:
            raise UserError(f"{path} differs from the model: {name} by {difference:.2g}, more than {tolerance:g}.")
        worst = max(worst, difference)
    return worst


def foreign_ops(path: str | os.PathLike[str]) -> list[str]:
    """Names the ops in a SavedModel that no server has: Python functions, and ops of other libraries.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> double = tf.function(lambda x: tf.py_function(lambda y: 2 * y, [x], tf.float32))
        >>> signature = double.get_concrete_function(tf.TensorSpec((), tf.float32))
        >>> tf.saved_model.save(tf.Module(), folder, signature)
        >>> foreign_ops(folder)
        ['EagerPyFunc']
    """
    model = saved_model_pb2.SavedModel.FromString((Path(path) / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    ops = {node.op for node in graph.node}
    ops |= {node.op for function in graph.library.function for node in function.node_def}
    ops -= {function.signature.name for function in graph.library.function}
    return sorted(op for op in ops if "PyFunc" in op or ">" in op)


def _requests(model: Any, shapes: Sequence[tuple[int, int]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Waveforms of noise and what the model makes of them; a last row of several asks the decoder for half of it."""
    requests: dict[str, np.ndarray] = {}
    expected: dict[str, np.ndarray] = {}
    random = np.random.default_rng(0)
    names = [spec.name for spec in tf.nest.flatten(model.latents_spec)]
    for number, (batch, samples) in enumerate(shapes):
        waveform = 0.1 * random.standard_normal((batch, samples, model.channels)).astype(np.float32)
        latents = tf.nest.map_structure(np.asarray, model.encode(tf.constant(waveform)))
        decoded = np.array(model.decode(tf.nest.map_structure(tf.constant, latents), tf.constant(samples)))
        num_samples = np.full(batch, samples, np.int32)
        if batch > 1:
            num_samples[-1] = samples // 2
            decoded[-1, samples // 2 :] = 0.0
        reconstruction = np.asarray(model.reconstruct(tf.constant(waveform)))
        for signature in ("serving_default", "reconstruct"):
            expected[f"{number}/{signature}/waveform"] = reconstruction
        for signature in ("serving_default", "reconstruct", "encode"):
            requests[f"{number}/{signature}/waveform"] = waveform
        for name, level in zip(names, tf.nest.flatten(latents), strict=True):
            expected[f"{number}/encode/{name}"] = requests[f"{number}/decode/{name}"] = level
        requests[f"{number}/decode/num_samples"] = num_samples
        expected[f"{number}/decode/waveform"] = decoded
    return requests, expected


def _ask(path: Path, requests: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        sent, received = os.path.join(folder, "requests.npz"), os.path.join(folder, "replies.npz")
        np.savez(sent, **requests)  # type: ignore[arg-type]
        command = [sys.executable, "-I", str(fresh_process.__file__), os.path.abspath(path), sent, received]
        threads = tf.config.threading.get_intra_op_parallelism_threads()  # 0: TensorFlow's default, there as here
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment |= {"TF_NUM_INTRAOP_THREADS": str(threads)} if threads else {}
        process = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        if process.returncode:
            said = process.stderr.strip().splitlines() or [f"it ended with status {process.returncode}, without a word"]
            raise UserError(f"{path} does not run in a fresh process: {said[-1]}")
        with np.load(received) as replies:
            return dict(replies)
