"""From recordings to batches of chunks."""

import atexit
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_audio_vae.audio import NORMALIZATIONS, Corpus, Recording
from keras_audio_vae.audio.resampling import change_speed
from keras_audio_vae.audio.streaming import BLOCK_SAMPLES
from keras_audio_vae.datasets import records, splits
from keras_audio_vae.datasets.augment import Augmentation
from keras_audio_vae.datasets.bank import Bank
from keras_audio_vae.datasets.block_cache import BlockCache
from keras_audio_vae.datasets.chunks import plan_chunks
from keras_audio_vae.datasets.embedded import load
from keras_audio_vae.datasets.ending import end_reading
from keras_audio_vae.datasets.faults import Faults
from keras_audio_vae.datasets.order import Order
from keras_audio_vae.datasets.quiet import leave_out_quiet
from keras_audio_vae.datasets.reading import Reader
from keras_audio_vae.errors import UserError

atexit.register(end_reading)  # batches are made by calls into Python

Batch = dict[str, tf.Tensor]  # {"waveform": float32 [batch, samples, channels], "mask": float32 [batch, samples]}

_STRETCH_SECONDS = 300  # what is measured of a recording at a time: hours of sound do not fit in memory
_STEPS_DRAWN_AT_ONCE = 32
_NO_AUGMENTATION = Augmentation(random_offset=False)


class Rows(NamedTuple):
    """What a batch is cut from.

    Attributes:
        chunk: number of the chunk in the plan, int64 [batch].
        block: number of the block that it is read with, int64 [batch].
        start: first sample within the recording, int64 [batch].
        length: samples that are read from there, int64 [batch].
        speed: how much faster they are played, float32 [batch].
    """

    chunk: tf.Tensor
    block: tf.Tensor
    start: tf.Tensor
    length: tf.Tensor
    speed: tf.Tensor


class ChunkPipeline:
    """Chunks of a corpus as tf.data datasets, for training and for evaluation.

    A batch is a dict: "waveform", float32 [batch_size, chunk_samples, channels], and "mask", float32 [batch_size,
    chunk_samples], 1 where there is sound and 0 where a chunk was padded. Batches are global: a strategy divides them
    among its replicas.

    A corpus that fits into `cache_gb` is decoded once, into memory, when the first batch is asked for. A larger one, or
    a record store, is read while training, a few chunks at a time: the same batches (to the bit where nothing is
    resampled and nothing was lossy), in memory that does not grow with the corpus or with its longest recording.

    A recording that turns out damaged, or vanishes, is named once and left out where it cannot be read: rows that would
    need that part have mask 0.

    Args:
        corpus: the recordings of one split.
        sample_rate: Hz; recordings of other rates are resampled. 22,050 keeps what is below 11 kHz, and has the small
            factors that front ends with exact lengths need.
        channels: 1 down-mixes.
        chunk_samples: size of a chunk, in samples; 22,050 are one second.
        chunk_overlap: share of a chunk that the next one repeats, so that what is at the edge of one is inside another.
        normalization: "none", "peak", "rms" or "loudness", per recording.
        min_chunk_dbfs: chunks whose root mean square is below this level (dB of full scale, at the level of the file)
            are left out; None keeps all. All recordings are read once to find them.
        keep_quiet: share of those that are kept all the same, spread evenly, so that a model also learns silence.
        cache_gb: memory for decoded recordings, in GiB; 0.25 are 50 minutes of mono.

    Attributes:
        num_chunks: how many chunks cover the corpus, quiet ones not counted.
        num_quiet: how many chunks were left out for their level.
        cached: whether the recordings fit into `cache_gb`.
        faults: what could not be read so far.

    Raises:
        UserError: the corpus has no recording.

    Example:
        >>> from keras_audio_vae import datasets
        >>> pipeline = ChunkPipeline(datasets.split(datasets.load("fluidnotes"))["valid"], chunk_samples=8820)
        >>> batch = next(iter(pipeline.training(batch_size=4, seed=1)))
        >>> batch["waveform"].shape, batch["mask"].shape
        (TensorShape([4, 8820, 1]), TensorShape([4, 8820]))
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        sample_rate: int = 22050,
        channels: int = 1,
        chunk_samples: int = 22050,
        chunk_overlap: float = 0.5,
        normalization: str = "none",
        min_chunk_dbfs: float | None = None,
        keep_quiet: float = 0.0,
        cache_gb: float = 0.25,
    ):
        """Plan the chunks; nothing is decoded yet, unless quiet chunks have to be found."""
        if not corpus.recordings:
            raise UserError("there is no recording to read; scan another folder, or split it by other fractions")
        if sample_rate < 1 or channels < 1:
            raise ValueError(f"sample_rate and channels must be at least 1; got {sample_rate} and {channels}")
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {normalization!r}")
        self.corpus = corpus
        self.sample_rate = sample_rate
        self.channels = channels
        self.chunk_samples = chunk_samples
        self.faults = Faults()
        self.reader = Reader(corpus, sample_rate, channels, normalization)
        self._in_files = any(recording.decoder != records.DECODER for recording in corpus.recordings)
        self.cached = self._in_files and int(self.reader.lengths.sum()) * channels * 4 <= cache_gb * 2**30
        self._plan = plan_chunks(self.reader.lengths, chunk_samples, chunk_overlap)
        self.num_quiet = 0
        if min_chunk_dbfs is not None:
            planned = len(self._plan.start)
            self._plan = leave_out_quiet(self._plan, self.reader, self.faults, min_chunk_dbfs, keep_quiet)
            self.num_quiet = planned - len(self._plan.start)
        self.num_chunks = len(self._plan.start)

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many full batches one pass over the chunks gives; at least one."""
        return self._order(batch_size, seed=0).steps_per_epoch

    def training(
        self, batch_size: int, *, seed: int = 0, first_step: int = 0, augmentation: Augmentation | None = None
    ) -> tf.data.Dataset:
        """Training batches without end.

        Batch i is a pure function of the arguments and of the step, `first_step + i`: a run that is resumed at a step
        goes on with the very batches that an unbroken run would have had.

        Args:
            batch_size: rows of the global batch.
            seed: decides order and augmentation.
            first_step: step of the first batch, from the start of the training.
            augmentation: what is changed at random; by default chunks begin at a random offset, and that is all.

        Returns:
            Dataset of batches, each of them full.
        """
        steps = tf.data.Dataset.range(first_step, tf.int64.max)
        return self._training_batches(steps, batch_size, seed, augmentation or Augmentation())

    def one_pass(self, batch_size: int, *, seed: int = 0, augmentation: Augmentation | None = None) -> tf.data.Dataset:
        """One epoch of training batches, another one each time it is iterated: for plain `model.fit(data, epochs=...)`.

        Arguments are those of `training`. A run by this data set is repeatable, but starts over when it is resumed.

        Returns:
            Dataset of `steps_per_epoch(batch_size)` batches, each of them full.
        """
        steps = self.steps_per_epoch(batch_size)
        epochs = tf.data.Dataset.random(seed=seed % 2**63, rerandomize_each_iteration=True).take(1)
        numbers = epochs.flat_map(lambda epoch: tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps))
        batches = self._training_batches(numbers, batch_size, seed, augmentation or Augmentation())
        return batches.apply(tf.data.experimental.assert_cardinality(steps))

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """Every chunk once, in order, as it was planned.

        Args:
            batch_size: rows of the global batch.

        Returns:
            Dataset of full batches; what the last one lacks is filled by rows of zeros with mask 0.
        """
        order = self._order(batch_size, seed=0)
        read = self._batch_reader(order, _NO_AUGMENTATION, is_training=False)
        start, length = tf.constant(self._plan.start), tf.constant(self._plan.length)

        def batch(number: tf.Tensor) -> Batch:
            chunk = number * batch_size + tf.range(batch_size, dtype=tf.int64)
            exists = chunk < self.num_chunks
            chunk = tf.where(exists, chunk, 0)
            row_length = tf.where(exists, tf.gather(length, chunk), 0)
            block = chunk // order.chunks_per_block * order.chunks_per_block
            return read(Rows(chunk, block, tf.gather(start, chunk), row_length, tf.ones([batch_size])))

        return _global_batches(tf.data.Dataset.range(-(-self.num_chunks // batch_size)).map(batch, tf.data.AUTOTUNE))

    def files_of_step(self, step: int, batch_size: int, *, seed: int = 0) -> list[str]:
        """Which recordings one training batch holds, by row: their paths, and in a record store their ids too.

        Args:
            step: from the start of the training.
            batch_size: rows of the global batch, as given to `training`.
            seed: as given to `training`.

        Returns:
            `batch_size` names.
        """
        with tf.device("/CPU:0"):
            chunks, _ = self._order(batch_size, seed).chunks(tf.constant([step], tf.int64))
        chosen = [self.corpus.recordings[index] for index in self._plan.recording[chunks[0].numpy()]]
        return [f"{one.path}: {one.recording_id}" if one.decoder == records.DECODER else one.path for one in chosen]

    def recordings(self) -> Iterator[tuple[Recording, np.ndarray, float]]:
        """Recordings one at a time: at the pipeline's rate, channels and level.

        A recording of more than five minutes comes in stretches of five minutes.

        Yields:
            The recording, its waveform, float32 [samples, channels], and the gain of its normalisation; a waveform
            divided by its gain has the level of the file.
        """
        longest = _STRETCH_SECONDS * self.sample_rate
        for index, recording in enumerate(self.corpus.recordings):
            samples = int(self.reader.lengths[index])
            try:
                for start in range(0, samples, longest):
                    waveform = self.reader.read(index, start, min(longest, samples - start))
                    yield recording, waveform, float(self.reader.gains[index])
            except UserError as error:
                self.faults.note(recording, error)

    def _order(self, batch_size: int, seed: int) -> Order:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        return Order(self.num_chunks, batch_size, seed, max(1, BLOCK_SAMPLES // self._plan.hop))

    def _training_batches(
        self, steps: tf.data.Dataset, batch_size: int, seed: int, augmentation: Augmentation
    ) -> tf.data.Dataset:
        order = self._order(batch_size, seed)
        read = self._batch_reader(order, augmentation, is_training=True)
        recording, start = tf.constant(self._plan.recording), tf.constant(self._plan.start)
        total = tf.constant(self.reader.lengths)

        def batch(step: tf.Tensor, chunk: tf.Tensor, block: tf.Tensor) -> Batch:
            speed = augmentation.speeds(seed, step, batch_size)
            heard = tf.cast(tf.math.ceil(speed * self.chunk_samples), tf.int64)  # of the recording
            row_total = tf.gather(total, tf.gather(recording, chunk))
            row_start = tf.gather(start, chunk)
            if augmentation.random_offset:
                # Moved, but kept inside the recording, so that no more padding is read than there must be.
                moved = row_start + augmentation.offsets(seed, step, batch_size, self._plan.hop)
                row_start = tf.clip_by_value(moved, 0, tf.maximum(row_total - heard, 0))
            rows = Rows(chunk, block, row_start, tf.minimum(row_total - row_start, heard), speed)
            waveform, mask = read(rows).values()
            waveform = augmentation.change(waveform, seed, step, self.sample_rate)
            if augmentation.fills_padding:
                waveform *= mask[:, :, tf.newaxis]
            return {"waveform": waveform, "mask": mask}

        drawn = steps.batch(_STEPS_DRAWN_AT_ONCE).map(lambda many: (many, *order.chunks(many))).unbatch()
        return _global_batches(drawn.map(batch, tf.data.AUTOTUNE, deterministic=True))

    def _batch_reader(self, order: Order, augmentation: Augmentation, is_training: bool) -> Callable[[Rows], Batch]:
        """A function of rows in the graph: the batch that they are cut to."""
        # From a chunk's planned start, augmentation goes half a distance of chunks to either side, a chunk that is
        # moved away from its recording's end a whole one back, and a chunk that is played faster needs more.
        reach = self._plan.hop if augmentation.random_offset else 0
        size = augmentation.source_samples(self.chunk_samples)
        cut = self._cutter(order, before=reach + size - self.chunk_samples, after=reach // 2 + 1 + size)

        def read(*rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            waveform = np.zeros((order.batch_size, self.chunk_samples, self.channels), np.float32)
            mask = np.ones((order.batch_size, self.chunk_samples), np.float32)
            holds_sound = False
            for row, (chunk, block, start, length, speed) in enumerate(zip(*map(np.ndarray.tolist, rows), strict=True)):
                try:
                    sound = cut(chunk, block, start, length)
                except UserError as error:
                    self.faults.note(self.corpus.recordings[self._plan.recording[chunk]], error)
                    mask[row] = 0
                    continue
                if speed != 1:
                    sound = change_speed(sound, speed, min(self.chunk_samples, int(length / speed)))
                waveform[row, : len(sound)] = sound
                if len(sound) < self.chunk_samples:
                    mask[row, len(sound) :] = 0
                holds_sound |= len(sound) > 0
            if is_training:
                self.faults.count_batch(holds_sound)
                if self.faults.fatal is not None:
                    raise self.faults.fatal
            return waveform, mask

        def in_graph(rows: Rows) -> Batch:
            waveform, mask = tf.numpy_function(read, list(rows), (tf.float32, tf.float32), stateful=False)
            mask = tf.ensure_shape(mask, [order.batch_size, self.chunk_samples])
            return {"waveform": tf.ensure_shape(waveform, [*mask.shape, self.channels]), "mask": mask}

        return in_graph

    def _cutter(self, order: Order, before: int, after: int) -> Callable[[int, int, int, int], np.ndarray]:
        """A function of (chunk, block, start, length): a stretch of the chunk's recording, float32 [length, channels].

        From memory and from record stores it is read as it is; files by the block, where a block is more than a chunk.
        """
        recording = self._plan.recording.tolist()
        if self.cached or not self._in_files or order.chunks_per_block == 1:
            source = self._bank if self.cached else self.reader
            return lambda chunk, block, start, length: source.read(recording[chunk], start, length)
        cache = BlockCache(self.reader, self._plan, order, before, after)

        def cut(chunk: int, block: int, start: int, length: int) -> np.ndarray:
            piece = cache.piece(chunk, block)
            return piece.waveform[start - piece.start : start - piece.start + length]

        return cut

    @functools.cached_property
    def _bank(self) -> Bank:
        return Bank(self.reader, self.faults)


def _global_batches(data: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # The data set is one sequence of global batches; sharding it by itself would break that order.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return data.prefetch(2).with_options(options)


def from_folder(
    source: str,
    split: str = "train",
    batch_size: int = 16,
    *,
    seed: int = 0,
    augmentation: Augmentation | None = None,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_by: str = "digest",
    **pipeline,
) -> tf.data.Dataset:
    """Batches for `model.fit`, from a folder of sound.

    Args:
        source: a folder, a glob, a file, a list file or a record store; or the name of an embedded data set.
        split: "train", shuffled and augmented anew each epoch; "valid" or "test", in order; or "all", which
            trains on every recording.
        batch_size: rows of the global batch.
        seed: decides order and augmentation.
        augmentation: see `ChunkPipeline.training`.
        valid_fraction: see `datasets.split`.
        test_fraction: see `datasets.split`.
        split_by: see `datasets.split`.
        **pipeline: further arguments of `ChunkPipeline`.

    Returns:
        Finite dataset of batches, see `ChunkPipeline`.

    Example:
        >>> data = from_folder("fluidnotes", "train", batch_size=8, chunk_samples=8820)
        >>> data.element_spec["waveform"].shape, len(data)
        (TensorShape([8, 8820, 1]), 267)
    """
    if split not in (*splits.SPLITS, "all"):
        raise ValueError(f"split must be one of {', '.join(splits.SPLITS)}, all; got {split!r}")
    corpus = load(source)
    chosen = corpus if split == "all" else splits.split(corpus, valid_fraction, test_fraction, split_by)[split]
    if not chosen.recordings:
        raise UserError(
            f"{source}: its {split} split is empty ({len(corpus.recordings)} recordings in all);"
            " from three recordings up, no split that has a fraction is"
        )
    chunks = ChunkPipeline(chosen, **pipeline)
    if split in ("valid", "test"):
        return chunks.evaluation(batch_size)
    return chunks.one_pass(batch_size, seed=seed, augmentation=augmentation)
