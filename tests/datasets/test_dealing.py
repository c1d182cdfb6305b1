import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_audio_vae.audio import Corpus, Recording
from keras_audio_vae.datasets import deal
from keras_audio_vae.errors import UserError


def corpus_of(shards):
    """A record store by its shards: the lengths of the recordings in each."""
    return Corpus(
        tuple(
            Recording(f"/store/shard-{shard}", f"{shard}/{number}", "records", 1000, 1, samples)
            for shard, lengths in enumerate(shards)
            for number, samples in enumerate(lengths)
        )
    )


@given(st.lists(st.lists(st.integers(1, 10_000), min_size=1), min_size=1, max_size=12), st.integers(1, 6))
def test_every_shard_goes_to_one_worker_and_the_durations_are_alike(shards, workers):
    corpus = corpus_of(shards)
    if len(shards) < workers:
        with pytest.raises(UserError, match="more --shards"):
            deal(corpus, 0, workers)
        return
    parts = [deal(corpus, worker, workers) for worker in range(workers)]
    dealt = [one.recording_id for part in parts for one in part.recordings]
    assert sorted(dealt) == sorted(one.recording_id for one in corpus.recordings)
    paths = [{one.path for one in part.recordings} for part in parts]
    assert sum(map(len, paths)) == len(set.union(*paths)) == len(shards)
    longest = max(map(sum, shards)) / 1000
    assert max(part.seconds for part in parts) - min(part.seconds for part in parts) <= longest + 1e-6


def test_a_worker_that_does_not_exist_is_a_mistake():
    with pytest.raises(ValueError, match="worker must be"):
        deal(corpus_of([[1], [1]]), 2, 2)
