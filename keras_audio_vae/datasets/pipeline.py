"""From recordings to batches of chunks."""

import functools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from keras_audio_vae.audio import NORMALIZATIONS, Corpus, Recording
from keras_audio_vae.datasets import order, splits
from keras_audio_vae.datasets.chunks import plan_chunks
from keras_audio_vae.datasets.embedded import load
from keras_audio_vae.datasets.reading import Bank, Reader, load_bank
from keras_audio_vae.errors import UserError

Batch = dict[str, tf.Tensor]  # {"waveform": float32 [batch, samples, channels], "mask": float32 [batch, samples]}


class ChunkPipeline:
    """Chunks of a corpus as tf.data datasets, for training and for evaluation.

    A batch is a dict: "waveform", float32 [batch_size, chunk_samples, channels], and "mask", float32 [batch_size,
    chunk_samples], 1 where there is sound and 0 where a chunk was padded. Batches are global: a strategy divides them
    among its replicas.

    Recordings are decoded once, into memory, when the first batch is asked for. A corpus larger than `cache_gb` is
    decoded anew for each chunk instead: the batches are the same, but slow, above all for long recordings.

    Args:
        corpus: the recordings of one split.
        sample_rate: Hz; recordings of other rates are resampled. 22,050 keeps what is below 11 kHz, and has the small
            factors that front ends with exact lengths need.
        channels: 1 down-mixes.
        chunk_samples: size of a chunk, in samples; 22,050 are one second.
        chunk_overlap: share of a chunk that the next one repeats, so that what is at the edge of one is inside another.
        normalization: "none", "peak" or "rms", per recording.
        cache_gb: memory for decoded recordings, in GiB; while it is filled, twice as much is used for a moment.

    Attributes:
        num_chunks: how many chunks cover the corpus.
        cached: whether the recordings fit into `cache_gb`.

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
        cache_gb: float = 2.0,
    ):
        """Plan the chunks; nothing is decoded yet."""
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
        self._reader = Reader(corpus, sample_rate, channels, normalization)
        self._lengths = self._reader.lengths
        self._plan = plan_chunks(self._lengths, chunk_samples, chunk_overlap)
        self.num_chunks = len(self._plan.start)
        self.cached = int(self._lengths.sum()) * channels * 4 <= cache_gb * 2**30

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many full batches one pass over the chunks gives; at least one."""
        return max(1, self.num_chunks // _checked(batch_size))

    def training(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        first_step: int = 0,
        gain_db: float = 0.0,
        random_offset: bool = True,
    ) -> tf.data.Dataset:
        """Training batches without end.

        Batch i is a pure function of the arguments and of the step, `first_step + i`: a run that is resumed at a step
        goes on with the very batches that an unbroken run would have had.

        Args:
            batch_size: rows of the global batch.
            seed: decides order, offsets and gains.
            first_step: step of the first batch, from the start of the training.
            gain_db: each chunk is made louder or softer by up to this, uniform in dB.
            random_offset: move each chunk by up to half the distance between chunks, within its recording.

        Returns:
            Dataset of batches, each of them full.
        """
        steps = tf.data.Dataset.range(first_step, tf.int64.max)
        return self._training_batches(steps, batch_size, seed, gain_db, random_offset)

    def one_pass(
        self, batch_size: int, *, seed: int = 0, gain_db: float = 0.0, random_offset: bool = True
    ) -> tf.data.Dataset:
        """One epoch of training batches, another one each time it is iterated: for plain `model.fit(data, epochs=...)`.

        Arguments are those of `training`. A run by this data set is repeatable, but starts over when it is resumed.

        Returns:
            Dataset of `steps_per_epoch(batch_size)` batches, each of them full.
        """
        steps = self.steps_per_epoch(batch_size)
        epochs = tf.data.Dataset.random(seed=seed % 2**63, rerandomize_each_iteration=True).take(1)
        numbers = epochs.flat_map(lambda epoch: tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps))
        numbers = numbers.apply(tf.data.experimental.assert_cardinality(steps))
        return self._training_batches(numbers, batch_size, seed, gain_db, random_offset)

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """Every chunk once, in order, as it was planned.

        Args:
            batch_size: rows of the global batch.

        Returns:
            Dataset of full batches; what the last one lacks is filled by rows of zeros with mask 0.
        """
        num_batches = -(-self.num_chunks // _checked(batch_size))
        recording, start, length = (
            tf.constant(column) for column in (self._plan.recording, self._plan.start, self._plan.length)
        )

        def rows(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
            chunk = number * batch_size + tf.range(batch_size, dtype=tf.int64)
            exists = chunk < self.num_chunks
            chunk = tf.where(exists, chunk, 0)
            row_length = tf.where(exists, tf.gather(length, chunk), 0)
            return tf.gather(recording, chunk), tf.gather(start, chunk), row_length, tf.ones([batch_size])

        return self._batches(tf.data.Dataset.range(num_batches), rows, batch_size)

    def files_of_step(self, step: int, batch_size: int, *, seed: int = 0) -> list[str]:
        """Paths of the recordings that one training batch holds, by row.

        Args:
            step: from the start of the training.
            batch_size: rows of the global batch, as given to `training`.
            seed: as given to `training`.

        Returns:
            `batch_size` paths.
        """
        with tf.device("/CPU:0"):
            chunks = order.chunks_of_step(tf.constant(step, tf.int64), batch_size, self.num_chunks, seed).numpy()
        return [self.corpus.recordings[index].path for index in self._plan.recording[chunks]]

    def recordings(self) -> Iterator[tuple[Recording, np.ndarray, float]]:
        """Whole recordings, one at a time: at the pipeline's rate, channels and level.

        Yields:
            The recording, its waveform, float32 [samples, channels], and the gain of its normalisation; a waveform
            divided by its gain has the level of the file.
        """
        for index, recording in enumerate(self.corpus.recordings):
            yield recording, *self._reader.read(index)

    def _training_batches(
        self, steps: tf.data.Dataset, batch_size: int, seed: int, gain_db: float, random_offset: bool
    ) -> tf.data.Dataset:
        _checked(batch_size)
        recording, start, total = (
            tf.constant(column) for column in (self._plan.recording, self._plan.start, self._lengths)
        )

        def rows(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            chunk = order.chunks_of_step(step, batch_size, self.num_chunks, seed)
            row_recording, row_start = tf.gather(recording, chunk), tf.gather(start, chunk)
            row_total = tf.gather(total, row_recording)
            if random_offset:
                # Moved, but kept inside the recording, so that no more padding is read than there must be.
                moved = row_start + order.random_offsets(step, batch_size, self._plan.hop, seed)
                row_start = tf.clip_by_value(moved, 0, tf.maximum(row_total - self.chunk_samples, 0))
            row_length = tf.minimum(row_total - row_start, self.chunk_samples)
            return row_recording, row_start, row_length, order.random_gains(step, batch_size, gain_db, seed)

        return self._batches(steps, rows, batch_size)

    def _batches(self, numbers: tf.data.Dataset, rows, batch_size: int) -> tf.data.Dataset:
        """Numbers of batches -> rows (recording, start, length, gain) of the whole batch -> batches."""
        if self.cached:
            read = self._bank_reader()
            data = numbers.map(lambda number: read(*rows(number)), tf.data.AUTOTUNE, deterministic=True)
        else:
            data = numbers.map(rows).unbatch().map(self._row_reader(), tf.data.AUTOTUNE, deterministic=True)
            data = data.batch(batch_size, drop_remainder=True)
        options = tf.data.Options()
        # The data set is one sequence of global batches; sharding it by itself would break that order.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return data.prefetch(2).with_options(options)

    @functools.cached_property
    def _bank(self) -> Bank:
        return load_bank(self._reader, padding=self.chunk_samples)

    def _bank_reader(self):
        """For a corpus in memory: a function that cuts a whole batch out by one gather; its arguments are [batch]."""
        bank = self._bank
        offsets = tf.constant(bank.offsets)
        place = tf.range(self.chunk_samples, dtype=tf.int64)

        def batch(recording: tf.Tensor, start: tf.Tensor, length: tf.Tensor, gain: tf.Tensor) -> Batch:
            first = tf.gather(offsets, recording) + start
            waveform = tf.gather(bank.samples, first[:, None] + place)
            return _masked(waveform * gain[:, None, None], place < length[:, None])

        return batch

    def _row_reader(self):
        """For a corpus that is not in memory: a function that decodes one row's recording and cuts its chunk out."""
        read = self._reader.mapper()

        def row(recording: tf.Tensor, start: tf.Tensor, length: tf.Tensor, gain: tf.Tensor) -> Batch:
            _, whole, _ = read(recording)
            chunk = whole[start : start + length]
            waveform = tf.pad(chunk, [[0, self.chunk_samples - length], [0, 0]]) * gain
            waveform = tf.ensure_shape(waveform, [self.chunk_samples, self.channels])
            return _masked(waveform, tf.range(self.chunk_samples, dtype=tf.int64) < length)

        return row


def _masked(waveform: tf.Tensor, is_sound: tf.Tensor) -> Batch:
    return {
        "waveform": tf.where(is_sound[..., None], waveform, 0.0),
        "mask": tf.cast(is_sound, tf.float32),
    }


def _checked(batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    return batch_size


def from_folder(
    source: str,
    split: str = "train",
    batch_size: int = 16,
    *,
    seed: int = 0,
    gain_db: float = 0.0,
    random_offset: bool = True,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    **pipeline,
) -> tf.data.Dataset:
    """Batches for `model.fit`, from a folder of sound.

    Args:
        source: a folder, a glob or a file; or the name of an embedded data set.
        split: "train", shuffled and augmented anew each epoch; "valid" or "test", in order; or "all", which
            trains on every recording.
        batch_size: rows of the global batch.
        seed: decides order, offsets and gains.
        gain_db: see `ChunkPipeline.training`.
        random_offset: see `ChunkPipeline.training`.
        valid_fraction: see `datasets.split`.
        test_fraction: see `datasets.split`.
        **pipeline: further arguments of `ChunkPipeline`.

    Returns:
        Finite dataset of batches, see `ChunkPipeline`.

    Example:
        >>> data = from_folder("fluidnotes", "train", batch_size=8, chunk_samples=8820)
        >>> data.element_spec["waveform"].shape, len(data)
        (TensorShape([8, 8820, 1]), 269)
    """
    if split not in (*splits.SPLITS, "all"):
        raise ValueError(f"split must be one of {', '.join(splits.SPLITS)}, all; got {split!r}")
    corpus = load(source)
    chosen = corpus if split == "all" else splits.split(corpus, valid_fraction, test_fraction)[split]
    if not chosen.recordings:
        raise UserError(
            f"{source}: its {split} split is empty ({len(corpus.recordings)} recordings in all);"
            " from three recordings up, no split that has a fraction is"
        )
    chunks = ChunkPipeline(chosen, **pipeline)
    if split in ("valid", "test"):
        return chunks.evaluation(batch_size)
    return chunks.one_pass(batch_size, seed=seed, gain_db=gain_db, random_offset=random_offset)
