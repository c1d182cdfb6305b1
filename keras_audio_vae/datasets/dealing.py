"""Sound dealt out evenly: to the workers of a training on several machines, to the shards of a store."""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from keras_audio_vae.audio import Corpus
from keras_audio_vae.errors import UserError


def deal(corpus: Corpus, worker: int, workers: int) -> Corpus:
    """The recordings that one worker reads: whole shards of a record store, or else whole files.

    Each worker draws its own order from its part, so that no worker opens the files of another:

        def dataset_fn(context):  # of `strategy.distribute_datasets_from_function`
            part = deal(corpus, context.input_pipeline_id, context.num_input_pipelines)
            return ChunkPipeline(part).training(context.get_per_replica_batch_size(64), seed=seed)

    Args:
        corpus: the recordings of one split.
        worker: which worker this is, from 0 on.
        workers: how many there are.

    Returns:
        A corpus; those of all workers together are the whole, and hold about the same duration each.

    Raises:
        UserError: there are fewer files or shards than workers.

    Example:
        >>> from keras_audio_vae import datasets
        >>> corpus = datasets.load("fluidnotes")
        >>> [len(deal(corpus, worker, workers=3).recordings) for worker in range(3)]
        [101, 102, 102]
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker must be 0 to workers - 1; got {worker} of {workers}")
    seconds: defaultdict[str, float] = defaultdict(float)
    for recording in corpus.recordings:
        seconds[recording.path] += recording.seconds  # of a record store the path is that of the shard
    if len(seconds) < workers:
        raise UserError(
            f"there are {workers} workers and only {len(seconds)} files to deal out to them:"
            " prepare a record store of more --shards, or use fewer workers"
        )
    worker_of = deal_evenly(seconds, workers)
    return replace(corpus, recordings=tuple(one for one in corpus.recordings if worker_of[one.path] == worker))


def deal_evenly(sizes: Mapping[str, float], hands: int) -> dict[str, int]:
    """Deal things to hands: the largest first, each to the hand that holds least.

    Args:
        sizes: how large each is, by its name; their order makes no difference.
        hands: how many there are.

    Returns:
        Which hand has each, from 0 on.

    Example:
        >>> deal_evenly({"a": 1.0, "b": 3.0, "c": 2.0, "d": 1.0}, hands=2)
        {'b': 0, 'c': 1, 'a': 1, 'd': 0}
    """
    held = [(0.0, hand) for hand in range(hands)]  # a heap: first the hand that holds least
    dealt = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least, hand = held[0]
        dealt[name] = hand
        heapq.heapreplace(held, (least + sizes[name], hand))
    return dealt
