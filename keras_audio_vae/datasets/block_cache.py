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
    """What some neighbouring chunks need of their recording.

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
        self._blocks: OrderedDict[int, dict[int, Future[Piece]]] = OrderedDict()
        self._lock = threading.Lock()

    def piece(self, chunk: int, block: int) -> Piece:
        """The part of a block that a chunk shares with its neighbours.

        Args:
            chunk: number of the chunk.
            block: number of its block, as `Order.chunks` gives it.

        Raises:
            UserError: the recording can't be read there.
        """
        first, last = self._neighbours(chunk, block % self._order.num_chunks)
        with self._lock:
            pieces = self._blocks.setdefault(block, {})
            self._blocks.move_to_end(block)
            is_mine = first not in pieces
            future = pieces.setdefault(first, Future())
            while len(self._blocks) > self._most_blocks:
                self._blocks.popitem(last=False)
        if is_mine:
            try:
                future.set_result(self._read(first, last))
            except BaseException as error:  # for the threads that wait, too
                future.set_exception(error)
        return future.result()

    def _neighbours(self, chunk: int, begin: int) -> tuple[int, int]:
        """First and last chunk, around a given one, that are worth reading at once.

        They are of its block, which goes from chunk `begin` on and after the last chunk of all with the first, and of
        its recording; and nothing lies between them that is not read anyhow, as where quiet chunks were left out.
        """
        size, num_chunks = self._order.chunks_per_block, self._order.num_chunks
        lowest, highest = (begin, min(begin + size, num_chunks)) if chunk >= begin else (0, begin + size - num_chunks)
        first = last = chunk
        while first > lowest and self._touch(first - 1, first):
            first -= 1
        while last + 1 < highest and self._touch(last, last + 1):
            last += 1
        return first, last

    def _touch(self, chunk: int, following: int) -> bool:
        plan = self._plan
        gap = plan.start[following] - plan.start[chunk]
        return plan.recording[chunk] == plan.recording[following] and gap <= self._before + self._after

    def _read(self, first: int, last: int) -> Piece:
        recording = int(self._plan.recording[first])
        start = max(0, int(self._plan.start[first]) - self._before)
        stop = min(int(self._reader.lengths[recording]), int(self._plan.start[last]) + self._after)
        return Piece(start, self._reader.read(recording, start, stop - start))
