import json
import os

import numpy as np
import pytest
import soundfile

from keras_audio_vae.audio import Corpus, scan
from keras_audio_vae.audio.streaming import BLOCK_SAMPLES
from keras_audio_vae.audio.survey import survey

RATE = 8000


def write(folder, name, waveform, subtype="PCM_16", rate=RATE):
    soundfile.write(folder / name, np.asarray(waveform), rate, subtype=subtype)


def found_in(folder):
    return {found.recording_id: found for found in survey(scan(folder)).findings}


def test_silence_is_counted_in_windows(tmp_path):
    tone = 0.5 * np.sin(np.arange(RATE))
    write(tmp_path, "half.wav", np.concatenate([tone, 1e-4 * tone]))
    write(tmp_path, "all.wav", np.zeros((RATE // 2 + 7, 2)))
    write(tmp_path, "one.wav", [0.5])
    found = found_in(tmp_path)
    assert found["half.wav"].silent_seconds == pytest.approx(1, abs=0.05) and found["half.wav"].seconds == 2
    assert found["all.wav"].silent_seconds == found["all.wav"].seconds
    assert found["one.wav"].silent_seconds == 0 and found["one.wav"].peak == 0.5


@pytest.mark.parametrize("start", [1000, BLOCK_SAMPLES - 1, BLOCK_SAMPLES - 2, 0])
def test_runs_at_full_scale_are_counted_wherever_they_lie(tmp_path, start):
    waveform = np.zeros((BLOCK_SAMPLES + 5000, 2))
    waveform[start : start + 3, 0] = 1
    waveform[3000:3002, 0] = 1  # two in a row may be a peak
    waveform[2000:2005, 1] = -1
    waveform[-4:, 1] = 1
    write(tmp_path, "a.wav", waveform)
    assert found_in(tmp_path)["a.wav"].clipped_samples == 3 + 5 + 4


def test_eight_bits_reach_full_scale_too(tmp_path):
    write(tmp_path, "a.wav", np.clip(2 * np.sin(np.arange(RATE) / 50), -1, 1), "PCM_U8")
    found = found_in(tmp_path)["a.wav"]
    assert found.clipped_samples > RATE / 2


def test_an_offset_is_that_of_the_worst_channel(tmp_path):
    write(tmp_path, "a.wav", np.stack([np.full(RATE, 0.02), np.full(RATE, -0.25)], axis=1))
    assert found_in(tmp_path)["a.wav"].offset == pytest.approx(-0.25, abs=1e-4)


def test_the_report_names_what_is_wrong(tmp_path):
    tone = 0.5 * np.sin(np.arange(8 * RATE) / 3)
    write(tmp_path, "good.wav", tone[:RATE])
    write(tmp_path, "loud.wav", np.clip(4 * tone, -1, 1))
    write(tmp_path, "shifted.flac", 0.5 * tone + 0.2)
    write(tmp_path, "silent.wav", np.zeros(RATE))
    write(tmp_path, "gone.wav", tone)
    (tmp_path / "empty.wav").touch()
    corpus = scan(tmp_path)
    os.unlink(tmp_path / "gone.wav")
    result = survey(corpus, threads=2)
    lines = result.report().splitlines()

    def line(start):
        [match] = [line for line in lines if line.strip().startswith(start)]
        return match

    assert "1 s to 5 s (2)" in line("durations") and "5 s to 30 s (3)" in line("durations")
    assert "silent throughout: 1 of 5 recordings: silent.wav" in line("silent throughout")
    assert "1 of 5 recordings: loud.wav (" in line("clipped")
    assert "1 of 5 recordings: shifted.flac (+0.200)" in line("with a DC offset")
    assert line("damaged gone.wav")
    assert "empty.wav: the file is empty" in line("skipped")
    content = json.loads(result.to_json())
    assert [entry["recording_id"] for entry in content["findings"]] == [
        recording.recording_id for recording in corpus.recordings
    ]
    assert content["skipped"] and content["findings"][0]["unreadable"]


def test_an_empty_corpus_has_an_empty_survey():
    assert "0 of 0" in survey(Corpus(())).report()
