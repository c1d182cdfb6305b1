"""The plan: which stretch of which recording each chunk is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ChunkPlan:
    """A table of chunks, in the order of the recordings and then of time.

    Attributes:
        recording: which recording, int64 [chunks].
        start: first sample within the recording, int64 [chunks].
        length: how many samples the recording has from there, at most the chunk's size; int64 [chunks].
        hop: distance between the starts of neighbouring chunks, in samples.
    """

    recording: np.ndarray
    start: np.ndarray
    length: np.ndarray
    hop: int


def plan_chunks(lengths: Sequence[int] | np.ndarray, chunk_samples: int, chunk_overlap: float) -> ChunkPlan:
    """Cover every sample of every recording by chunks of one size.

    Chunks start every `chunk_samples * (1 - chunk_overlap)` samples until the recording's end is covered. The last
    chunk of a recording, or the only one of a short recording, may be shorter: it is padded and masked when it is
    read, never dropped.

    Args:
        lengths: samples of each recording, at the rate that is trained at; an empty one gets no chunk.
        chunk_samples: size of a chunk, in samples.
        chunk_overlap: share of a chunk that the next one repeats, 0 to less than 1.

    Example:
        >>> plan = plan_chunks([5, 2], chunk_samples=4, chunk_overlap=0.5)
        >>> plan.recording, plan.start, plan.length, plan.hop
        (array([0, 0, 1]), array([0, 2, 0]), array([4, 3, 2]), 2)
    """
    if chunk_samples < 1:
        raise ValueError(f"chunk_samples must be at least 1; got {chunk_samples}")
    if not 0 <= chunk_overlap < 1:
        raise ValueError(f"chunk_overlap must be at least 0 and less than 1; got {chunk_overlap}")
    hop = max(1, round(chunk_samples * (1 - chunk_overlap)))
    lengths = np.asarray(lengths, np.int64)
    beyond_first = np.maximum(lengths - chunk_samples, 0)
    counts = np.where(lengths > 0, 1 + -(-beyond_first // hop), 0)
    recording = np.repeat(np.arange(len(lengths)), counts)
    first = np.cumsum(counts) - counts  # each recording's first row in the table
    start = (np.arange(len(recording)) - first[recording]) * hop
    return ChunkPlan(recording, start, np.minimum(lengths[recording] - start, chunk_samples), hop)
