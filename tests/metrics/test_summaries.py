import numpy as np
import pytest
from scipy import stats

from keras_audio_vae.metrics import summarize


def test_mean_median_and_count():
    values = [0.5, 4.0, 1.0, 2.0]
    summary = summarize(values)
    assert (summary.mean, summary.median, summary.count) == (1.875, 1.5, 4)


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    summary = summarize(values, resamples=20000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert summary.low == pytest.approx(expected.low, abs=0.02)
    assert summary.high == pytest.approx(expected.high, abs=0.02)


def test_the_interval_of_many_normal_values_is_the_textbooks():
    values = np.random.default_rng(3).normal(5.0, 2.0, size=4000)
    summary = summarize(values, confidence=0.9)
    half = 1.6449 * values.std() / np.sqrt(values.size)
    assert summary.high - summary.low == pytest.approx(2 * half, rel=0.08)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(4).normal(size=30)
    assert summarize(values) == summarize(list(values))
    assert summarize(values).low != summarize(values, seed=1).low


def test_one_value_has_no_width():
    summary = summarize([3.0])
    assert (summary.mean, summary.median, summary.low, summary.high) == (3.0, 3.0, 3.0, 3.0)


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        summarize([])
