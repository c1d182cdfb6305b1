"""Recordings on disk, read a block of neighbouring chunks at a time."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from keras_audio_vae.datasets.chunks import ChunkPlan
from keras_audio_vae.datasets.order import Order
from keras_audio_vae.datasets.reading import Reader


@dataclass(frozen=True)
class Piece:
    """What one block needs of one recording.

    Attributes:
        start: first sample of the piece within the recording.
        waveform: float32 [samples, channels].
    """

    start: int
    waveform: np.ndarray


class BlockCache:
    """The blocks that training draws from at a time, each read once: memory is that of the lanes, whatever the corpus.

    Threads that ask for the same piece wait for the one that reads it. A piece that can't be read is a `UserError`,
    for as long as its block is kept.

    Args:
        reader: where the recordings come from.
        plan: the chunks.
        order: in which they are drawn, and by which blocks.
        before: samples before a chunk's start that may be wanted too.
        after: samples from a chunk's start on that may be wanted.

    Example:
        >>> from keras_audio_vae import datasets
        >>> reader = Reader(datasets.load("fluidnotes"), 22050, 1)
        >>> plan = datasets.plan_chunks(reader.lengths, 8820, 0.5)
        >>> cache = BlockCache(reader, plan, Order(len(plan.start), batch_size=16), before=0, after=8820)
        >>> cache.piece(chunk=3, block=0).waveform.shape
        (22050, 1)
    """

    def __init__(self, reader: Reader, plan: ChunkPlan, order: Order, before: int, after: int):
        """Nothing is read yet."""
        self._reader, self._plan, self._order = reader, plan, order
        self._before, self._after = before, after
        # Those of the lanes, some that lanes are about to leave, and those of batches that are read ahead.
        self._most_blocks = order.lanes * 5 // 4 + 4 * order.batch_size
        self._blocks: OrderedDict[int, dict[tuple[int, bool], Future[Piece]]] = OrderedDict()
        self._lock = threading.Lock()

    def piece(self, chunk: int, block: int) -> Piece:
        """The part of a block that is of a chunk's recording.

        Args:
            chunk: number of the chunk.
            block: number of its block, as `Order.chunks` gives it.

        Raises:
            UserError: the recording can't be read there.
        """
        first = block % self._order.num_chunks
        # The block that goes on from the last chunk with the first one is read as two.
        key = (int(self._plan.recording[chunk]), chunk < first)
        with self._lock:
            pieces = self._blocks.setdefault(block, {})
            self._blocks.move_to_end(block)
            is_mine = key not in pieces
            future = pieces.setdefault(key, Future())
            while len(self._blocks) > self._most_blocks:
                self._blocks.popitem(last=False)
        if is_mine:
            try:
                future.set_result(self._read(key[0], first, wrapped=key[1]))
            except BaseException as error:  # for the threads that wait, too
                future.set_exception(error)
        return future.result()

    def _read(self, recording: int, first: int, wrapped: bool) -> Piece:
        size, num_chunks = self._order.chunks_per_block, self._order.num_chunks
        chunks = slice(0, first + size - num_chunks) if wrapped else slice(first, min(first + size, num_chunks))
        starts = self._plan.start[chunks][self._plan.recording[chunks] == recording]
        start = max(0, int(starts.min()) - self._before)
        stop = min(int(self._reader.lengths[recording]), int(starts.max()) + self._after)
        return Piece(start, self._reader.read(recording, start, stop - start))
