"""The report of a model of two levels whose figures are known in closed form."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from keras_audio_vae.metrics import LatentUse, LevelUse, evaluate

HOP, STRIDE = 10, 2


class Levels(NamedTuple):
    top: Any
    bottom: Any


class LoudnessModel:
    """The top is the level of twenty samples, the bottom ten samples of shape; all of it comes back."""

    sample_rate = 1000
    latent_hop = HOP * STRIDE
    frames_per_second = Levels(50.0, 100.0)

    def encode(self, waveform):
        samples = np.pad(waveform.reshape(-1), (0, -waveform.shape[1] % self.latent_hop))
        level = np.abs(samples.reshape(-1, self.latent_hop)).max(axis=1) + 1e-9
        shape = samples.reshape(-1, HOP) / np.repeat(level, STRIDE)[:, None]
        return Levels(level[None, :, None].astype(np.float32), shape[None].astype(np.float32))

    def decode(self, latents, num_samples):
        assert isinstance(latents, Levels)
        sound = latents.bottom * np.repeat(latents.top, STRIDE, axis=1)
        return sound.reshape(1, -1, 1)[:, :num_samples]

    def reconstruct(self, waveform):
        return self.decode(self.encode(waveform), waveform.shape[1])

    def kl_per_dimension(self, waveform, top=None):
        own = self.encode(waveform)
        top = own.top if top is None else top
        shape = np.ones_like(own.bottom) * np.repeat(top, STRIDE, axis=1)
        return Levels(np.full_like(own.top, 3.0), shape)

    def innovations(self, waveform):
        own = self.encode(waveform)
        return Levels(own.top, own.bottom * np.array([1.0] * 9 + [0.0]))  # the last dimension is the top's to tell


def tones():
    """Sines of different frequencies and of amplitudes 1, 2 and 3, whose level is the same everywhere."""
    time = np.arange(4000) / 1000
    return [(f"{a}.wav", a * np.sin(2 * np.pi * 50 * a * time + 0.4)) for a in (1, 2, 3)]


@pytest.fixture(scope="module")
def report():
    return evaluate(LoudnessModel(), tones())


def test_each_level_is_shuffled_alone_and_both_together(report):
    rows = [row for row in report.values if row.startswith("shuffled")]
    assert rows == ["shuffled latents", "shuffled top", "shuffled bottom"]
    top = report.values["shuffled top"]
    np.testing.assert_allclose(top["cosine similarity"], 1.0, atol=1e-3)  # the shape is right, and only the level wrong
    assert max(report.values["shuffled bottom"]["cosine similarity"]) < 0.1
    assert min(top["mean squared error"]) > 0.1
    np.testing.assert_allclose(report.values["reconstruction"]["mean squared error"], 0.0, atol=1e-10)


def test_every_level_s_use_is_known(report):
    use = report.latents
    assert isinstance(use, LevelUse) and list(use.levels) == ["top", "bottom"]
    top, bottom = use.levels.values()
    amplitude = np.mean(report.values["reconstruction"]["KL of the bottom (nats per frame)"]) / 10
    assert top.kl_per_dimension == (3.0,) and (top.active_units, bottom.active_units) == (1, 9)
    np.testing.assert_allclose(bottom.kl_per_dimension, amplitude, rtol=1e-5)
    assert top.rate_bps == pytest.approx(3.0 * 50 / np.log(2))
    assert use.shares["top"] == pytest.approx(top.rate_bps / (top.rate_bps + bottom.rate_bps))
    total = report.summary("rate (bits/s)").mean
    assert total == pytest.approx(top.rate_bps + bottom.rate_bps, rel=1e-5)
    parts = [report.summary(f"rate of the {name} (bits/s)").mean for name in use.levels]
    assert parts == pytest.approx([top.rate_bps, bottom.rate_bps], rel=1e-5)


def test_what_the_bottom_costs_with_another_s_top_is_told(report):
    name = "KL of the bottom (nats per frame)"
    own, other = (np.array(report.values[row][name]) for row in ("reconstruction", "shuffled top"))
    levels = own / 10  # this model's bottom costs ten times the level that the top tells
    assert all(np.abs(cost / 10 - levels).min() < 1e-3 for cost in other)
    assert (np.abs(other - own) > 1.0).all()
    assert report.latents.levels["top"].shuffled_rise[name] == pytest.approx(other.mean() / own.mean())
    assert name not in report.latents.levels["bottom"].shuffled_rise


def test_table_and_json_tell_each_level(report):
    lines = report.table().splitlines()
    assert any(line.startswith("top ") and "1 of 1 dimensions active (100 %), 50.0 frames" in line for line in lines)
    assert any(line.startswith("bottom ") and "9 of 10 dimensions active (90 %)" in line for line in lines)
    assert max(map(len, lines)) <= 80
    levels = json.loads(report.to_json())["latents"]["levels"]
    assert levels["top"]["share"] + levels["bottom"]["share"] == pytest.approx(1.0)
    assert levels["bottom"]["active_units"] == 9


def test_one_recording_has_nothing_to_shuffle():
    report = evaluate(LoudnessModel(), tones()[:1])
    assert "shuffled top" not in report.values and "it takes two recordings" in report.table()


def test_nothing_spent_is_no_share():
    assert LevelUse({"top": LatentUse(7.0, (0.0,), 0), "bottom": LatentUse(35.0, (0.0,), 0)}).shares["top"] == 0.0
