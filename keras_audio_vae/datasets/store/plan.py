"""The plan of a record store: which recording goes into which shard, decided before anything is read."""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from keras_audio_vae.audio import Corpus, Recording, resampled_length
from keras_audio_vae.datasets.dealing import deal_evenly

SHARD_BYTES = 256 * 10**6  # few enough files for a cluster's disk, many enough shards to share among its workers
PIECE_SECONDS = 60  # one record: small in memory for any reader of TFRecords, long beside what a record costs


@dataclass(frozen=True)
class StoreSettings:
    """What a record store is made to be.

    Attributes:
        sample_rate: Hz, of all recordings.
        channels: of all recordings.
        splitting: how the recordings were divided, as names and values; kept so that another division is noticed.

    Example:
        >>> StoreSettings(splitting={"valid_fraction": 0.1}).to_json()
        {'sample_rate': 22050, 'channels': 1, 'valid_fraction': 0.1}
    """

    sample_rate: int = 22050
    channels: int = 1
    splitting: Mapping[str, float | str] = field(default_factory=dict)

    def to_json(self) -> dict[str, float | str]:
        """The settings as the manifest has them."""
        return {"sample_rate": self.sample_rate, "channels": self.channels, **self.splitting}

    @property
    def piece_samples(self) -> int:
        """Samples of a full piece."""
        return PIECE_SECONDS * self.sample_rate


@dataclass(frozen=True)
class Source:
    """A recording, and what its file was like when the plan was made.

    Attributes:
        recording: the facts of the scan, with its split.
        size: of the file, in bytes; -1 if the file was already gone.
        modified_ns: the file's time of change, in nanoseconds; -1 if the file was already gone.
    """

    recording: Recording
    size: int
    modified_ns: int

    @classmethod
    def of(cls, recording: Recording) -> "Source":
        """Look at a recording's file."""
        try:
            status = os.stat(recording.path)
        except OSError:
            return cls(recording, -1, -1)
        return cls(recording, status.st_size, status.st_mtime_ns)

    def unchanged(self) -> bool:
        """Whether the file still is what it was."""
        return self == Source.of(self.recording)


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be written: plain data, for another process or another machine.

    Attributes:
        number: from 0.
        shards: how many there are.
        settings: of the store.
        sources: what goes into it, in this order.
    """

    number: int
    shards: int
    settings: StoreSettings
    sources: tuple[Source, ...]

    @property
    def file(self) -> str:
        """The shard's name, such as "shard-00003-of-00016.tfrecord"."""
        return f"shard-{self.number:05d}-of-{self.shards:05d}.tfrecord"

    @functools.cached_property
    def digest(self) -> str:
        """Of the whole plan: a shard that was written by an equal plan need not be written again."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def plan_shards(corpus: Corpus, settings: StoreSettings, shards: int = 0) -> tuple[ShardPlan, ...]:
    """Deal the recordings to shards: the largest first, each to the shard that has least.

    The plan depends on the arguments alone, so that a store is the same whoever writes it.

    Args:
        corpus: recordings with their splits.
        settings: of the store.
        shards: how many; 0 for about one per 256 MB. There are never more than recordings.

    Example:
        >>> from keras_audio_vae import datasets
        >>> [len(plan.sources) for plan in plan_shards(datasets.load("fluidnotes"), StoreSettings(), shards=4)]
        [76, 77, 76, 76]
    """
    frame = 2 * settings.channels
    sizes = {
        recording.recording_id: frame * resampled_length(recording.samples, recording.sample_rate, settings.sample_rate)
        for recording in corpus.recordings
    }
    shards = min(shards or -(-sum(sizes.values()) // SHARD_BYTES), len(sizes))
    shard_of = deal_evenly(sizes, shards)
    dealt: list[list[Source]] = [[] for _ in range(shards)]
    for recording in corpus.recordings:
        dealt[shard_of[recording.recording_id]].append(Source.of(recording))
    return tuple(ShardPlan(number, shards, settings, tuple(sources)) for number, sources in enumerate(dealt))
