"""In which order training sees the chunks: a pure function of (seed, step, row of the global batch).

No state is kept and nothing is shuffled in a buffer: any step can be drawn at any time, alone, so that a run that is
resumed at some step sees what an unbroken run sees, and any number of replicas sees the same global batches.

The order is random, but kind to disks and decoders. Chunks that are neighbours in time overlap, and a compressed file
is cheaper to read on than to open anew. So chunks are drawn by blocks of neighbours, as many blocks at a time as there
are lanes, one chunk of each in turn:

    lane 0    6 7 4 5 | 21 22 23 20 | ...        which block comes next is random, and so is where it begins;
    lane 1    9 | 33 34 35 32 | 14 ...           the lanes change blocks at different times, so that each batch needs
    lane 2    40 41 | 17 18 19 16 | ...          about as many new blocks as any other

A batch takes a chunk from each lane, the lanes in random order: its rows come from all over the corpus, while what is
read from disk is read about once per epoch.
"""

from dataclasses import dataclass

import tensorflow as tf

MOST_LANES = 128  # blocks that are kept in memory; also more than the rows of most batches, which are then all distinct
# Of a corpus with fewer chunks each is a block of its own: it is in memory anyway, and its order as random as can be.
_FEWEST_TO_BLOCK = 4096
_FEWEST_BLOCKS = 512  # a corpus that is not much larger is cut into smaller blocks, so that all lanes change often

# One stream of random numbers for each use, so that they do not follow each other.
_SHIFT, _BLOCK, _BEGIN, _LANE = range(4)
_DIE = 2**16  # where a shuffle stands for a throw of dice: many more sides than are asked for


@dataclass(frozen=True)
class Order:
    """The order of a corpus's chunks for one size of batch.

    Every epoch is a new order of all chunks; the few that full lanes and full batches leave over are others each time.
    With fewer chunks than a batch has rows, the order is repeated within the batch.

    Attributes:
        num_chunks: how many chunks there are; chunks with neighbouring numbers are neighbours in time.
        batch_size: rows of the global batch.
        seed: of the run.
        most_per_block: chunks that are drawn together in a large corpus.

    Example:
        >>> chunks, blocks = Order(4, batch_size=4, seed=0).chunks(tf.constant([0], tf.int64))
        >>> sorted(chunks[0].numpy().tolist())
        [0, 1, 2, 3]
    """

    num_chunks: int
    batch_size: int
    seed: int = 0
    most_per_block: int = 16

    @property
    def chunks_per_block(self) -> int:
        """Neighbouring chunks that are drawn together."""
        return 1 if self.num_chunks < _FEWEST_TO_BLOCK else min(self.most_per_block, self.num_chunks // _FEWEST_BLOCKS)

    @property
    def blocks(self) -> int:
        """Whole blocks in the corpus."""
        return self.num_chunks // self.chunks_per_block

    @property
    def lanes(self) -> int:
        """Blocks that are drawn from at a time: as many as leave the fewest blocks over."""
        return self.blocks // -(-self.blocks // MOST_LANES)

    @property
    def chunks_per_lane(self) -> int:
        """Chunks that one lane gives in an epoch."""
        return self.blocks // self.lanes * self.chunks_per_block

    @property
    def chunks_per_epoch(self) -> int:
        """Chunks that all lanes give."""
        return self.lanes * self.chunks_per_lane

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in one pass over the chunks; at least one."""
        return max(1, self.chunks_per_epoch // self.batch_size)

    def chunks(self, steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The chunks of global batches.

        Args:
            steps: int64 [n], each from the start of the training; many at a time cost little more than one.

        Returns:
            The numbers of the chunks, int64 [n, batch_size]; and the block that each is drawn with, int64 of the same
            shape: epoch * num_chunks + the block's first chunk, which it goes on from, after the last chunk with 0.
        """
        rows = tf.range(self.batch_size, dtype=tf.int64)
        place = tf.reshape(steps[:, tf.newaxis] % self.steps_per_epoch * self.batch_size + rows, [-1])
        place %= self.chunks_per_epoch
        epoch = tf.repeat(steps // self.steps_per_epoch, self.batch_size)
        turn = place // self.lanes
        lane = self._shuffle(_LANE, place % self.lanes, self.lanes, epoch, turn)
        # Lanes are out of step with each other by parts of a block.
        turn = (turn + lane * self.chunks_per_block // self.lanes) % self.chunks_per_lane
        slot = turn // self.chunks_per_block * self.lanes + lane
        block = self._shuffle(_BLOCK, slot, self.blocks, epoch, tf.zeros_like(slot))
        # A block is gone through in order, from a random chunk on: the op is slow at shuffling very few.
        begin = self._shuffle(_BEGIN, slot % _DIE, _DIE, epoch, slot // _DIE)
        within = (turn + begin) % self.chunks_per_block
        # Where the blocks begin is another each epoch, and so is what they leave over.
        shift = self._shuffle(_SHIFT, tf.zeros_like(slot), self.num_chunks, epoch, tf.zeros_like(slot))
        first = (block * self.chunks_per_block + shift) % self.num_chunks
        shape = [-1, self.batch_size]
        chunk = (first + within) % self.num_chunks
        return tf.reshape(chunk, shape), tf.reshape(epoch * self.num_chunks + first, shape)

    def _shuffle(self, use: int, index: tf.Tensor, size: int, epoch: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        """Where each index, 0 to size - 1, goes in a random permutation; `which` numbers an epoch's permutations."""
        # A seed is 64 bits, and the use takes two of them.
        key = tf.fill(tf.shape(index), tf.constant(self.seed % 2**61 * 4 + use, tf.int64))
        # The op itself: tf.random.experimental.index_shuffle takes one seed per row by its documentation only.
        return tf.raw_ops.RandomIndexShuffle(
            index=index,
            seed=tf.stack([key, epoch, which], axis=1),
            max_index=tf.constant(size - 1, tf.int64),
            rounds=4,
        )
