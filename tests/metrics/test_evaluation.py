"""The whole report, on a model whose figures are known in closed form."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_audio_vae.errors import UserError
from keras_audio_vae.metrics import MEASURES, Measure, evaluate, mse

HOP = 10


class HalfModel:
    """Ten samples are one latent frame, after a dimension that is always 3; decoding halves them; sigma is 1."""

    sample_rate = 1000
    latent_hop = HOP

    def encode(self, waveform):
        assert waveform.dtype == np.float32
        (_, samples, channels) = waveform.shape
        assert channels == 1
        frames = np.pad(waveform.reshape(-1), (0, -samples % HOP)).reshape(1, -1, HOP)
        return np.concatenate([np.full([1, frames.shape[1], 1], 3.0), frames], axis=-1).astype(np.float32)

    def decode(self, latents, num_samples):
        return 0.5 * latents[..., 1:].reshape(1, -1, 1)[:, :num_samples]

    def reconstruct(self, waveform):
        return self.decode(self.encode(waveform), waveform.shape[1])

    def kl_per_dimension(self, waveform):
        return self.encode(waveform) ** 2 / 2


def noises(*lengths, seed=0):
    generator = np.random.default_rng(seed)
    return [(f"noise{i}.wav", generator.normal(size=length).astype(np.float32)) for i, length in enumerate(lengths)]


def test_the_figures_of_a_known_model():
    recordings = noises(40000, 30005, 20000)
    report = evaluate(HalfModel(), iter(recordings))

    power = [float(np.mean(sound.astype(np.float64) ** 2)) for _, sound in recordings]
    assert report.recordings == ("noise0.wav", "noise1.wav", "noise2.wav")
    assert report.seconds == pytest.approx(90.005)
    values = report.values["reconstruction"]
    np.testing.assert_allclose(values["mean squared error"], np.array(power) / 4, rtol=1e-5)
    np.testing.assert_allclose(values["cosine similarity"], 1.0)
    np.testing.assert_allclose(values["SI-SDR (dB)"], 60.0)
    np.testing.assert_allclose(values["STFT distance"], 0.5 + np.log(2), rtol=1e-3)
    np.testing.assert_allclose(values["log-spectral distance"], np.log10(4), rtol=1e-3)
    np.testing.assert_allclose(report.values["silence"]["mean squared error"], power, rtol=1e-5)


def test_kl_rate_and_active_units_of_a_known_model():
    report = evaluate(HalfModel(), noises(40000, 30000, 20000))
    # Ten unit normals and one constant 3 with sigma 1: 10 / 2 + 9 / 2 nats per frame, at 100 frames per second.
    assert report.summary("KL (nats per latent frame)").mean == pytest.approx(9.5, rel=0.01)
    assert report.summary("rate (bits/s)").mean == pytest.approx(9.5 * 100 / np.log(2), rel=0.01)
    assert report.latents.kl_per_dimension == pytest.approx((4.5, *10 * [0.5]), rel=0.05)
    assert report.latents.active_units == 10
    assert report.latents.dimensions == 11
    assert report.latents.frames_per_second == 100.0


def test_shuffled_latents_cost_what_independent_noise_costs():
    # Own latents leave a quarter of the power; another's leave all of it and add a quarter: five times as much.
    report = evaluate(HalfModel(), noises(40000, 30005, 20000, 25000))
    assert report.latents.shuffled_rise["mean squared error"] == pytest.approx(5.0, rel=0.03)
    assert set(report.latents.shuffled_rise) == {m.name for m in MEASURES if not m.higher_is_better}
    cosines = report.values["shuffled latents"]["cosine similarity"]
    assert len(cosines) == 4
    np.testing.assert_allclose(cosines, 0.0, atol=0.03)


def test_every_shuffled_figure_stands_at_its_own_recording():
    # Sines of whole periods are orthogonal: the error's power is the sum of a recording's and a quarter of the other's.
    power = np.array([25.0, 1.0, 4.0, 9.0, 16.0])
    cycles = np.arange(1, 6)[:, None] * np.arange(1000) / 1000
    recordings = list(zip("abcde", np.sqrt(2 * power)[:, None] * np.sin(2 * np.pi * cycles), strict=True))
    shuffled = evaluate(HalfModel(), recordings).values["shuffled latents"]["mean squared error"]
    others = (np.array(shuffled) - power) * 4  # the power of the recording whose latents were decoded
    drawn = [int(np.argmin(np.abs(power - other))) for other in others]
    np.testing.assert_allclose(power[drawn], others, rtol=1e-4)
    assert all(other != own for own, other in enumerate(drawn))


def test_the_same_seed_gives_the_same_report():
    assert evaluate(HalfModel(), noises(3000, 2000, 1000)) == evaluate(HalfModel(), noises(3000, 2000, 1000))


def test_one_recording_has_no_shuffled_row_and_the_table_says_why():
    report = evaluate(HalfModel(), noises(3000))
    assert "shuffled latents" not in report.values
    assert report.latents.shuffled_rise == {}
    assert "it takes two recordings" in report.table()
    assert report.table().startswith("1 recording, 3.0 s at 1000 Hz")


def test_short_silent_and_stereo_recordings():
    class Copy:
        sample_rate, latent_hop = 44100, 1
        reconstruct = encode = staticmethod(lambda waveform: waveform)
        decode = staticmethod(lambda latents, num_samples: latents[:, :num_samples])
        kl_per_dimension = staticmethod(lambda waveform: waveform**2 / 2)

    stereo = np.random.default_rng(0).normal(size=[500, 2])
    report = evaluate(Copy(), [("click", stereo[:1]), ("silent", 0 * stereo), ("stereo", stereo)])
    for row in report.values.values():
        for values in row.values():
            assert np.all(np.isfinite(values))
    assert report.latents.shuffled_rise["mel distance"] > 1e6  # a perfect model: anything else is infinitely worse


def test_measures_and_baselines_of_ones_own():
    largest = Measure("largest error", False, lambda x, y, sample_rate: float(np.max(np.abs(x - y))))
    report = evaluate(
        HalfModel(),
        noises(3000, 2000),
        measures=[largest],
        baselines={"negative": lambda waveform, sample_rate: -waveform},
    )
    assert report.summary("largest error", "negative").mean == pytest.approx(4 * report.summary("largest error").mean)
    assert list(report.latents.shuffled_rise) == ["largest error"]


def test_the_table_is_aligned_and_narrow():
    lines = evaluate(HalfModel(), noises(30000, 20000)).table().splitlines()
    figures = [line for line in lines if line.startswith("  ") and " to " in line]
    assert len(figures) == len(MEASURES) * 4 + 2
    assert len({line.index(" to ") for line in figures}) == 1
    assert max(map(len, lines)) <= 80


def test_the_json_holds_the_tables_figures_and_every_value(tmp_path):
    report = evaluate(HalfModel(), noises(3000, 2000))
    text, data = report.write(tmp_path)
    assert (tmp_path / "evaluation.txt").read_text() == report.table() + "\n"
    assert text.endswith("evaluation.txt")
    content = json.loads(Path(data).read_text())
    row = content["measures"]["mean squared error"]["rows"]["reconstruction"]
    assert row["values"] == list(report.values["reconstruction"]["mean squared error"])
    assert row["mean"] == pytest.approx(np.mean(row["values"]))
    assert row["low"] <= row["mean"] <= row["high"]
    assert content["measures"]["mel distance"]["direction"] == "lower is better"
    assert content["latents"]["active_units"] == 10
    assert content["recordings"] == ["noise0.wav", "noise1.wav"]


def test_no_recording_is_an_error_in_words():
    with pytest.raises(UserError, match="no recording"):
        evaluate(HalfModel(), [])


def test_a_diverged_model_is_named_with_the_recording():
    class Diverged(HalfModel):
        def reconstruct(self, waveform):
            return np.where(waveform > 2.0, np.nan, waveform)

    with pytest.raises(UserError, match=r"noise1\.wav.*diverged"):
        evaluate(Diverged(), [("quiet.wav", np.zeros(100)), *noises(10, 5000)[1:]])


def test_the_measures_see_the_model_as_float64():
    seen = []
    watch = Measure("watch", False, lambda x, y, rate: seen.append((x.shape, y.shape)) or mse(x, y))
    evaluate(HalfModel(), noises(1234), measures=[watch], baselines={})
    assert seen == [((1234, 1), (1234, 1))]


class CodeModel:
    """Ten samples are one frame of two codes: of four, 0, 1 and 2 in turn, and of two, always 1."""

    sample_rate = 1000
    latent_hop = HOP
    codebook_sizes = (4, 2)

    def encode(self, waveform):
        frames = np.arange(-(-waveform.shape[1] // HOP))
        return np.stack([frames % 3, np.ones_like(frames)], axis=-1)[np.newaxis]

    def decode(self, latents, num_samples):
        assert latents.dtype == np.int32
        return np.repeat(latents[..., :1], HOP, axis=1)[:, :num_samples] / 4

    def reconstruct(self, waveform):
        return self.decode(self.encode(waveform).astype(np.int32), waveform.shape[1])


def test_codes_are_counted_over_all_recordings():
    report = evaluate(CodeModel(), noises(3000, 1500))
    use = report.latents
    assert use.usage == (0.75, 0.5)
    np.testing.assert_allclose(use.perplexity, (3.0, 1.0))
    assert use.nominal_bps == pytest.approx(300.0)
    assert use.entropy_bps == pytest.approx(100 * np.log2(3))
    assert report.summary("rate (bits/s)").mean == pytest.approx(300.0)
    assert use.shuffled_rise["mean squared error"] == pytest.approx(1.0)  # every recording has the same codes
    lines = report.table().splitlines()
    assert "codes               4 + 2 at 100.0 frames per second" in lines
    assert "codes used          75, 50 %" in lines
    assert "perplexity          0.75, 0.50 of its size" in lines
    assert json.loads(report.to_json())["latents"]["codebook_sizes"] == [4, 2]
