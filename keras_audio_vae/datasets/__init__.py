"""Recordings to batches: the embedded recordings, splits, overlapping chunks, tf.data pipelines."""

from keras_audio_vae.datasets.augment import Augmentation
from keras_audio_vae.datasets.chunks import ChunkPlan, plan_chunks
from keras_audio_vae.datasets.dealing import deal
from keras_audio_vae.datasets.embedded import EMBEDDED, load
from keras_audio_vae.datasets.pipeline import ChunkPipeline, from_folder
from keras_audio_vae.datasets.splits import SPLITS, evaluation_part, split

__all__ = [
    "EMBEDDED",
    "SPLITS",
    "Augmentation",
    "ChunkPipeline",
    "ChunkPlan",
    "deal",
    "evaluation_part",
    "from_folder",
    "load",
    "plan_chunks",
    "split",
]
