"""Serving: a SavedModel of a model of this package, and the proof that it computes the same."""

from keras_audio_vae.serving.export import SIGNATURES, export
from keras_audio_vae.serving.verify import foreign_ops, verify

__all__ = ["SIGNATURES", "export", "foreign_ops", "verify"]
