"""Chunks that hold next to nothing, found and left out or thinned."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from keras_audio_vae.datasets.chunks import ChunkPlan
from keras_audio_vae.datasets.faults import Faults
from keras_audio_vae.datasets.reading import Reader
from keras_audio_vae.errors import UserError

_THREADS = 4


def leave_out_quiet(plan: ChunkPlan, reader: Reader, faults: Faults, limit_dbfs: float, keep: float) -> ChunkPlan:
    """A plan without its quiet chunks.

    Args:
        plan: the chunks.
        reader: reads them; every recording is read once.
        faults: where a recording that can't be read is noted; its chunks stay in the plan.
        limit_dbfs: root mean square, in dB of full scale at the level of the file, below which a chunk is quiet.
        keep: share of the quiet chunks that stay, 0 to 1, spread evenly over the corpus.

    Returns:
        The rows of `plan` that stay.

    Raises:
        UserError: nothing would be left.

    Example:
        >>> from keras_audio_vae import datasets
        >>> reader = Reader(datasets.load("fluidnotes"), 22050, 1)
        >>> plan = datasets.plan_chunks(reader.lengths, 8820, 0.5)
        >>> loud = leave_out_quiet(plan, reader, Faults(), limit_dbfs=-60.0, keep=0.0)
        >>> 0 < len(loud.start) < len(plan.start)
        True
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep_quiet must be 0 to 1; got {keep}")
    borders = np.flatnonzero(np.diff(plan.recording)) + 1
    parts = np.split(np.arange(len(plan.recording)), borders)

    def levels_of(chunks: np.ndarray) -> np.ndarray:
        recording = int(plan.recording[chunks[0]])
        try:
            return _levels(reader.blocks(recording), plan.start[chunks], plan.length[chunks])
        except UserError as error:
            faults.note(reader.corpus.recordings[recording], error)
            return np.full(len(chunks), np.inf)

    with ThreadPoolExecutor(_THREADS) as pool:
        quiet = np.concatenate(list(pool.map(levels_of, parts))) < 10 ** (limit_dbfs / 20)
    # Every time that the running sum of the share passes a whole number, one quiet chunk stays.
    stays = np.floor(np.cumsum(quiet) * keep) > np.floor((np.cumsum(quiet) - quiet) * keep)
    rows = ~quiet | stays
    if not rows.any():
        raise UserError(f"all {len(rows)} chunks are below {limit_dbfs} dBFS: set a lower min_chunk_dbfs")
    return replace(plan, recording=plan.recording[rows], start=plan.start[rows], length=plan.length[rows])


def _levels(blocks: Iterable[np.ndarray], start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Root mean squares of overlapping stretches of a recording, by running sums: float64 [stretches]."""
    edges = np.unique(np.concatenate([start, start + length]))
    sums = np.zeros(len(edges))  # the energy up to each edge
    heard, energy = 0, 0.0
    for block in blocks:
        running = energy + np.cumsum(np.mean(np.square(block, dtype=np.float64), axis=1))
        inside = slice(*np.searchsorted(edges, [heard + 1, heard + len(block) + 1]))
        sums[inside] = running[edges[inside] - heard - 1]
        heard, energy = heard + len(block), running[-1] if len(block) else energy
    between = sums[np.searchsorted(edges, start + length)] - sums[np.searchsorted(edges, start)]
    return np.sqrt(np.maximum(between, 0.0) / length)
