"""Runs a SavedModel where nothing but TensorFlow is: `python -I fresh_process.py EXPORT REQUESTS.npz REPLIES.npz`.

Run by its path and not as a module, so that not even this package's `__init__` is imported. Requests are arrays named
`<number>/<signature>/<input>`, replies are named `<number>/<signature>/<output>`.

Example:
    >>> group({"0/encode/waveform": 1, "1/decode/latents": 2, "1/decode/num_samples": 3})
    {('0', 'encode'): {'waveform': 1}, ('1', 'decode'): {'latents': 2, 'num_samples': 3}}
"""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

FORBIDDEN = ("keras", "tf_keras", "keras_audio_vae", "tensorflow_io", "tensorflow_probability")


def group(arrays: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Collects the inputs of each request.

    Example:
        >>> group({"0/encode/waveform": 1})
        {('0', 'encode'): {'waveform': 1}}
    """
    requests: dict[tuple[str, str], dict[str, Any]] = {}
    for name, value in arrays.items():
        number, signature, argument = name.split("/")
        requests.setdefault((number, signature), {})[argument] = value
    return requests


def main(export: str, requests_path: str, replies_path: str) -> None:
    """Answers every request with the signature that it names."""
    # None makes an import fail. TensorFlow tries to import Keras, and does without it.
    sys.modules.update(dict.fromkeys(FORBIDDEN))  # type: ignore[arg-type]
    import tensorflow as tf

    signatures = tf.saved_model.load(export).signatures
    replies = {}
    with np.load(requests_path) as archive:
        for (number, signature), inputs in group(archive).items():
            outputs = signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
            replies.update({f"{number}/{signature}/{name}": value.numpy() for name, value in outputs.items()})
    np.savez(replies_path, **replies)


if __name__ == "__main__":
    main(*sys.argv[1:])
