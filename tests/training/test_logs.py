import dataclasses

import pytest
import tensorflow as tf

from keras_audio_vae.errors import UserError
from keras_audio_vae.layers import Levels
from keras_audio_vae.training import (
    CollapseWarning,
    FitOptions,
    ProgressBar,
    RunState,
    fit,
    learning_rate_at,
    make_strategy,
    precision,
)
from keras_audio_vae.training.tensorboard import spectrogram_image
from tests.training.toys import ToyModel, ToyPipeline

OPTIONS = FitOptions(epochs=2, batch_size=4, lr_warmup_steps=2, replicas=1, checkpoint_minutes=60.0)


def test_tensorboard_holds_losses_histogram_pictures_and_sound(tmp_path):
    fit(ToyModel, ToyPipeline(), valid_pipeline=ToyPipeline(), run_dir=tmp_path, options=OPTIONS, verbose=0)
    tags = {}
    for path in (tmp_path / "tensorboard").iterdir():
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                tags.setdefault(value.tag.rsplit("/", 1)[0] if "/" in value.tag else value.tag, set()).add(event.step)
                tags.setdefault(value.tag, set()).add(event.step)
    assert tags["epoch/loss"] == tags["epoch/val_loss"] == tags["epoch/learning_rate"] == {4, 8}
    assert tags["step/loss"] == {0}
    assert tags["reconstruction"] == tags["KL per dimension, nats per frame"] == {4, 8}
    assert tags["original"] == {4}
    assert tags["spectrogram (original above)"] == {4, 8}


def test_picture_shows_a_tone_at_its_frequency_with_the_low_ones_at_the_bottom():
    rate, frequency = 8000, 1000.0
    tone = tf.sin(2.0 * 3.14159265 * frequency * tf.range(rate, dtype=tf.float32) / rate)[tf.newaxis, :, tf.newaxis]
    picture = spectrogram_image(tone)[0, :, 10, 0]
    assert int(tf.argmin(picture)) == 256 - round(frequency / rate * 512)
    assert float(tf.reduce_min(picture)) < 0.05
    assert float(picture[0]) > 0.9


def test_picture_s_scale_is_absolute():
    bin_32 = tf.sin(2.0 * 3.14159265 * tf.range(8000, dtype=tf.float32) * 32 / 512)
    picture = spectrogram_image(0.01 * bin_32[tf.newaxis, :, tf.newaxis])  # -40 dB
    assert float(picture[0, 256 - 32, 10, 0]) == pytest.approx(0.5, abs=0.01)


def test_silence_is_white():
    assert float(tf.reduce_min(spectrogram_image(tf.zeros((1, 1000, 1))))) == 1.0


def test_progress_bar_shows_few_named_losses_and_the_time(tmp_path, capsys):
    options = dataclasses.replace(OPTIONS, max_minutes=5.0, tensorboard=False)
    fit(ToyModel, ToyPipeline(), run_dir=tmp_path, options=options, verbose=1)
    out = capsys.readouterr().out
    assert "Epoch 1/2, step 0, 0.0 of 5 minutes" in out
    assert "4/4" in out and "loss: " in out


def test_progress_bar_of_a_resumed_epoch_stands_where_it_stopped(capsys):
    bar = ProgressBar(RunState(step=2))
    bar.set_params({"verbose": 2, "epochs": 1, "steps": 4})
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(2, {"loss": 1.0})
    bar.on_epoch_end(0, {"loss": 1.0, "beta": 3.0})
    out = capsys.readouterr().out
    assert "3/4" in out and "beta" not in out


def test_collapse_is_told_once_for_each_new_low_after_the_warm_up():
    told = []
    state = RunState()
    warning = CollapseWarning(state, after_step=10, warn=told.append)
    for step, active in ((5, 0.1), (20, 0.4), (30, 0.4), (40, 0.2), (50, 0.9)):
        state.step = step
        warning.on_epoch_end(0, {"active_units": active})
    assert ["40 %" in told[0], "20 %" in told[1]] == [True, True]
    assert len(told) == 2
    assert "target_bps" in told[0]


def test_each_level_s_collapse_is_told_for_itself_with_the_flags_that_mend_it():
    told = []
    warning = CollapseWarning(RunState(step=20), after_step=10, warn=told.append)
    warning.on_epoch_end(0, {"active_units_top": 0.9, "val_active_units_top": 0.25, "val_active_units_bottom": 0.75})
    assert len(told) == 1 and "25 % of the top level's" in told[0]
    assert all(flag in told[0] for flag in ("top_target_bps", "coarse_weight", "warmup_order=bottom"))
    warning.on_epoch_end(1, {"val_active_units_top": 0.3, "val_active_units_bottom": 0.4})
    assert len(told) == 2 and "40 % of the bottom level's" in told[1] and "top_target_bps" not in told[1]


def test_tensorboard_has_a_histogram_for_each_level(tmp_path):
    class TwoLevels(ToyModel):
        def kl_per_dimension(self, waveform):
            return Levels(waveform[:, :2] ** 2, waveform[:, :4] ** 2)

    fit(TwoLevels, ToyPipeline(), valid_pipeline=ToyPipeline(), run_dir=tmp_path, options=OPTIONS, verbose=0)
    tags = {
        value.tag
        for path in (tmp_path / "tensorboard").iterdir()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for value in tf.compat.v1.Event.FromString(record).summary.value
    }
    titles = {f"KL per dimension of the {level}, nats per frame" for level in ("top", "bottom")}
    assert {tag for tag in tags if tag.startswith("KL")} == titles


def test_learning_rate_warms_up_and_ends_at_zero_by_steps_or_clock():
    assert learning_rate_at(0, 0.0, peak=1.0, warmup_steps=0) == 1.0
    rates = [learning_rate_at(step, step / 1000, peak=1.0, warmup_steps=10) for step in range(1001)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(UserError, match="replicas must be"):
        make_strategy(-1)
    with pytest.raises(UserError, match="float32, bfloat16"), precision("float16"):
        pass
    with pytest.raises(ValueError, match="needs an end"):
        dataclasses.replace(OPTIONS, epochs=0)
