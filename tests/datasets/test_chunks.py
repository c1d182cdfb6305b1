import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_audio_vae.datasets import plan_chunks


@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 20), st.floats(0, 0.99))
def test_every_sample_is_covered_and_nothing_beyond(lengths, chunk_samples, overlap):
    plan = plan_chunks(lengths, chunk_samples, overlap)
    covered = [np.zeros(length, int) for length in lengths]
    for recording, start, length in zip(plan.recording, plan.start, plan.length, strict=True):
        assert 0 < length <= chunk_samples and start + length <= lengths[recording]
        covered[recording][start : start + length] += 1
    assert all((count > 0).all() for count in covered)
    # Full chunks but for each recording's last one, which brings something new.
    for recording, length in enumerate(lengths):
        mine = plan.recording == recording
        assert (plan.length[mine][:-1] == chunk_samples).all()
        assert (np.diff(plan.start[mine]) == plan.hop).all()
        if mine.sum() > 1:
            assert plan.start[mine][-2] + chunk_samples < length


def test_exact_fit_needs_no_padding():
    plan = plan_chunks([12], 4, 0.5)
    assert plan.start.tolist() == [0, 2, 4, 6, 8] and plan.length.tolist() == [4] * 5


def test_without_overlap_each_sample_is_in_one_chunk():
    assert plan_chunks([10, 3], 4, 0.0).length.sum() == 13


@pytest.mark.parametrize(("chunk_samples", "overlap"), [(0, 0.5), (10, 1.0), (10, -0.1)])
def test_impossible_plans_are_refused(chunk_samples, overlap):
    with pytest.raises(ValueError, match="chunk_"):
        plan_chunks([100], chunk_samples, overlap)
