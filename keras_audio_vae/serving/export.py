"""From a trained model to a SavedModel that TF Serving, or anything that speaks TensorFlow, can run.

The artefact holds inference only: no optimizer, no training graph, core TensorFlow ops, and no trace of this package.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_audio_vae.errors import UserError

SIGNATURES = ("serving_default", "reconstruct", "encode", "decode")


def export(model: Any, path: str | os.PathLike[str]) -> Path:
    """Writes a model as a SavedModel with four signatures, each with dynamic batch and dynamic length.

    - `reconstruct`: waveform float32 [batch, samples, channels] -> `waveform` of that shape.
    - `serving_default`: the same, for clients that name none.
    - `encode`: waveform -> `latents` float32 [batch, frames, latent_dim], or `codes` int32 [batch, frames, codebooks],
      or `top` and `bottom`, the latents of a model of two levels.
    - `decode`: latents, codes or both levels, and num_samples int32 [batch] -> `waveform`
      [batch, max(num_samples), channels], or as long as the latents' frames last if that is less. Every input has a
      batch dimension, as TF Serving's batching wants it; rows that asked for less than the longest end in zeros.

    TF Serving looks for `<model name>/<integer version>`, so let `path` end in a number. The folder is written beside
    its place and then moved there: a server that watches it never sees half a model.

    Args:
        model: A built model whose call reconstructs, with `channels`, `latents_spec`, `encode` and `decode`.
        path: The folder. An export that is there already is replaced; a folder with anything else is not touched.

    Returns:
        The path.

    Raises:
        TypeError: What is given is no such model.
        UserError: There is something at `path` that is no export.

    Example:
        >>> export("not a model", "exported/1")
        Traceback (most recent call last):
        ...
        TypeError: export takes a built model with encode and decode, got str.
    """
    able = all(hasattr(model, name) for name in ("encode", "decode"))
    if not able or not getattr(model, "built", False):
        raise TypeError(f"export takes a built model with encode and decode, got {type(model).__name__}.")
    path = Path(path)
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (path.with_name(f".{path.name}.{name}") for name in ("partial", "old"))
    for left_over in (partial, old):  # by an export that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    _archive(model).write_out(os.fspath(partial), verbose=False)
    if path.exists():
        os.replace(path, old)
    os.replace(partial, path)
    shutil.rmtree(old, ignore_errors=True)
    return path


def _check_replaceable(path: Path) -> None:
    if not path.exists() or (path / "saved_model.pb").is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise UserError(f"{path} is there already, and is no export (no saved_model.pb): name another place.")


def _archive(model: Any) -> Any:
    def reconstruct(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"waveform": model(waveform)}  # one pass: `reconstruct` goes in blocks, by a length it has to know

    def encode(waveform: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip((spec.name for spec in specs), tf.nest.flatten(model.encode(waveform)), strict=True))

    def decode(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        *latents, num_samples = given
        waveform = model.decode(tf.nest.pack_sequence_as(model.latents_spec, latents), tf.reduce_max(num_samples))
        sound = tf.sequence_mask(num_samples, tf.shape(waveform)[1], dtype=tf.float32)
        return {"waveform": waveform * sound[..., tf.newaxis]}

    waveform = tf.TensorSpec((None, None, model.channels), tf.float32, "waveform")
    specs = tf.nest.flatten(model.latents_spec)
    num_samples = tf.TensorSpec((None,), tf.int32, "num_samples")
    archive = keras.export.ExportArchive()  # Keras makes the first endpoint the default as well
    for name, function, signature in (  # whose variables the archive finds itself
        ("reconstruct", reconstruct, [waveform]),
        ("encode", encode, [waveform]),
        ("decode", decode, [*specs, num_samples]),
    ):
        traced = tf.function(function, autograph=False)
        traced.get_concrete_function(*signature)  # given the signature instead, Keras would trace it for each use anew
        archive.add_endpoint(name, traced)
    return archive
