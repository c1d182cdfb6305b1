"""Chunks that hold next to nothing, found and left out or thinned."""

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
        >>> loud = leave_out_quiet(plan, reader, Faults(305), limit_dbfs=-60.0, keep=0.0)
        >>> 0 < len(loud.start) < len(plan.start)
        True
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep_quiet must be 0 to 1; got {keep}")
    recordings = np.unique(plan.recording)

    def levels_of(recording: int) -> np.ndarray:
        chunks = np.flatnonzero(plan.recording == recording)
        try:
            return np.array([_level(reader, recording, plan.start[chunk], plan.length[chunk]) for chunk in chunks])
        except UserError as error:
            faults.note(reader.corpus.recordings[recording], error)
            return np.full(len(chunks), np.inf)

    with ThreadPoolExecutor(_THREADS) as pool:
        quiet = np.concatenate(list(pool.map(levels_of, recordings))) < 10 ** (limit_dbfs / 20)
    # Every time that the running sum of the share passes a whole number, one quiet chunk stays.
    stays = np.floor(np.cumsum(quiet) * keep) > np.floor((np.cumsum(quiet) - quiet) * keep)
    rows = ~quiet | stays
    if not rows.any():
        raise UserError(f"all {len(rows)} chunks are below {limit_dbfs} dBFS: set a lower min_chunk_dbfs")
    return replace(plan, recording=plan.recording[rows], start=plan.start[rows], length=plan.length[rows])


def _level(reader: Reader, recording: int, start: int, length: int) -> float:
    """Root mean square of one chunk, at the level of the file."""
    waveform = reader.read(recording, int(start), int(length))
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) / float(reader.gains[recording])
