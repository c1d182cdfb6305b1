import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_audio_vae.metrics import (
    code_entropy_bits,
    code_histogram,
    code_usage,
    entropy_bits_per_second,
    nominal_bits_per_second,
    perplexity,
)

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=40).map(np.array)


def test_histograms_of_recordings_add_up_to_that_of_all():
    codes = np.random.default_rng(3).integers(0, [7, 300], size=[2, 50, 2])
    parts = [code_histogram(one, [7, 300]) for one in codes]
    whole = code_histogram(codes, [7, 300])
    for book, counts in enumerate(whole):
        np.testing.assert_array_equal(counts, parts[0][book] + parts[1][book])
        assert counts.sum() == 100 and len(counts) == (7, 300)[book]
        assert counts[codes[0, 0, book]] == np.sum(codes[..., book] == codes[0, 0, book])


@pytest.mark.parametrize("codes", [[[0, 3]], [[-1, 0]], [[0, 0, 0]]])
def test_codes_of_another_codebook_are_refused(codes):
    with pytest.raises(ValueError, match="codebook"):
        code_histogram(np.array(codes), [4, 3])


@given(COUNTS)
def test_entropy_is_between_nothing_and_that_of_even_use(counts):
    bits, used = code_entropy_bits(counts), np.count_nonzero(counts)
    assert 0.0 <= bits <= np.log2(max(used, 1)) + 1e-9
    assert code_usage(counts) == used / len(counts)
    assert perplexity(counts) <= used + 1e-6 and (perplexity(counts) >= 1.0) == (used > 0)
    assert entropy_bits_per_second([counts], 35.0) <= nominal_bits_per_second([len(counts)], 35.0) + 1e-6


@given(COUNTS, st.integers(2, 5))
def test_only_shares_matter_and_splitting_every_code_adds_its_bits(counts, times):
    bits = code_entropy_bits(counts)
    assert code_entropy_bits(times * counts) == pytest.approx(bits, abs=1e-9)
    if counts.any():
        assert code_entropy_bits(np.repeat(counts, times)) == pytest.approx(bits + np.log2(times))


def test_entropy_of_drawn_codes_is_that_of_their_distribution():
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    [counts] = code_histogram(np.random.default_rng(0).choice(4, p=shares, size=[200_000, 1]), [4])
    assert code_entropy_bits(counts) == pytest.approx(-np.sum(shares * np.log2(shares)), abs=5e-3)


def test_rates_add_up_over_codebooks():
    assert nominal_bits_per_second([1024, 2, 1000], 10.0) == pytest.approx(10.0 * (10 + 1 + np.log2(1000)))
    even = [np.ones(1024), np.ones(2), np.ones(1000)]
    assert entropy_bits_per_second(even, 10.0) == pytest.approx(nominal_bits_per_second([1024, 2, 1000], 10.0))
