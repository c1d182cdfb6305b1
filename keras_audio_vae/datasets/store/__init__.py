"""Writing record stores: a plan of shards, one writer for each shard, on processes or on Apache Beam."""

from keras_audio_vae.datasets.store.plan import StoreSettings
from keras_audio_vae.datasets.store.write import WRITERS, write_store

__all__ = ["WRITERS", "StoreSettings", "write_store"]
