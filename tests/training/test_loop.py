import csv
import dataclasses
import itertools
import os
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.datasets import Augmentation
from keras_audio_vae.errors import UserError
from keras_audio_vae.training import FitOptions, Interrupted, NonFiniteLoss, fit, load_checkpoint
from keras_audio_vae.training.variables import values_of
from tests.training.toys import ToyModel, ToyPipeline

OPTIONS = FitOptions(epochs=3, batch_size=4, lr_warmup_steps=2, replicas=1, checkpoint_minutes=0.0, tensorboard=False)


def train(run_dir, pipeline=None, options=OPTIONS, **kwargs):
    return fit(ToyModel, pipeline or ToyPipeline(), run_dir=run_dir, options=options, verbose=0, **kwargs)


def checkpoint(run_dir, name="last"):
    with np.load(run_dir / "checkpoints" / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive if key != "state"}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)


class StopAfter(keras.callbacks.Callback):
    """Sends a signal to this very process in the middle of a run, or raises what nobody catches."""

    def __init__(self, state_step, signal_number=None):
        super().__init__()
        self.left, self.signal_number = state_step, signal_number

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            if self.signal_number is None:
                raise RuntimeError("power cut")
            os.kill(os.getpid(), self.signal_number)


def rows(run_dir):
    with open(run_dir / "log.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "minutes"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that was never stopped."""
    path = tmp_path_factory.mktemp("whole")
    train(path, valid_pipeline=ToyPipeline())
    return path


def test_two_replicas_reach_the_weights_of_one(tmp_path, whole):
    """With a toy, since the rounding of a sum over replicas grows to visible differences in a deep model's training."""
    train(tmp_path, valid_pipeline=ToyPipeline(), options=dataclasses.replace(OPTIONS, replicas=2))
    one, two = checkpoint(whole), checkpoint(tmp_path)
    assert one.keys() == two.keys()
    for name in [name for name in one if not name.startswith("metrics")]:  # those hold sums over replicas
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for left, right in zip(rows(whole), rows(tmp_path), strict=True):
        assert {k: pytest.approx(float(v), rel=1e-4) for k, v in left.items()} == {
            k: float(v) for k, v in right.items()
        }


@pytest.mark.parametrize("steps", [1, 4, 6, 12])
def test_stopped_run_ends_as_unbroken_one(tmp_path, whole, steps):
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "broken", valid_pipeline=ToyPipeline(), callbacks=[StopAfter(steps)])
    result = train(tmp_path / "broken", valid_pipeline=ToyPipeline())
    assert result.resumed_from == steps - 1
    assert_same(checkpoint(whole), checkpoint(tmp_path / "broken"))
    assert_same(checkpoint(whole, "best"), checkpoint(tmp_path / "broken", "best"))
    assert rows(whole) == rows(tmp_path / "broken")


def test_sparse_checkpoints_repeat_the_lost_steps(tmp_path):
    options = dataclasses.replace(OPTIONS, checkpoint_minutes=60.0)
    train(tmp_path / "whole", options=options)
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "broken", options=options, callbacks=[StopAfter(7)])
    assert train(tmp_path / "broken", options=options).resumed_from == 4
    assert_same(checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "broken"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_stops_politely(tmp_path, number):
    options = dataclasses.replace(OPTIONS, checkpoint_minutes=60.0)
    with pytest.raises(Interrupted, match="Stopped at step 6") as caught:
        train(tmp_path / "run", options=options, callbacks=[StopAfter(6, number)])
    assert caught.value.signal_number == number
    assert train(tmp_path / "run", options=options).resumed_from == 6


def test_resuming_says_so_and_a_finished_run_trains_no_more(tmp_path, capsys):
    first = train(tmp_path / "run")
    again = fit(ToyModel, ToyPipeline(), run_dir=tmp_path / "run", options=OPTIONS, verbose=2)
    out = capsys.readouterr().out
    assert "is finished, at step 12" in out and "Resuming" not in out
    assert again.state.step == again.resumed_from == 12
    for left, right in zip(values_of(first.model.variables), values_of(again.model.variables), strict=True):
        np.testing.assert_array_equal(left, right)


def test_longer_run_goes_on_where_the_shorter_ended_and_says_so(tmp_path, capsys):
    train(tmp_path / "run", options=dataclasses.replace(OPTIONS, epochs=1))
    longer = fit(ToyModel, ToyPipeline(), run_dir=tmp_path / "run", options=OPTIONS, verbose=2)
    assert longer.state.step == 12
    assert "Resuming" in (out := capsys.readouterr().out) and "at step 4 (epoch 2, step 0 of 4)" in out


def test_fresh_starts_over(tmp_path):
    train(tmp_path / "run")
    result = train(tmp_path / "run", fresh=True)
    assert result.resumed_from == 0
    assert len(rows(tmp_path / "run")) == 3


def test_result_is_the_average_of_the_best_checkpoint(tmp_path):
    result = train(tmp_path / "run", valid_pipeline=ToyPipeline())
    model = result.model
    state = load_checkpoint(model, tmp_path / "run" / "checkpoints" / "best.npz")
    averages = values_of(model.optimizer._model_variables_moving_average)
    load_checkpoint(model, tmp_path / "run" / "checkpoints" / "best.npz", averaged=True)
    for weight, average in zip(values_of(model.trainable_variables), averages, strict=True):
        np.testing.assert_array_equal(weight, average)
    losses = [float(row["val_loss"]) for row in rows(tmp_path / "run")]
    assert state.best_loss == min(losses)
    values = model.evaluate(ToyPipeline().evaluation(4), return_dict=True, verbose=0)
    assert values["loss"] == pytest.approx(min(losses), rel=1e-6)


class ScriptedModel(ToyModel):
    """Validates with given losses, KLs and weights of the KL, one after the other."""

    def __init__(self, script):
        super().__init__()
        self.script = iter(script)

    def evaluate(self, *args, **kwargs):
        return dict(zip(("loss", "kl", "beta"), next(self.script), strict=True))


@pytest.mark.parametrize(
    ("script", "best_epoch"),
    [
        ([(1.0, 100.0, 0.0), (5.0, 20.0, 0.1), (3.0, 10.0, 0.1)], 3),  # a warm-up, when the KL cost nothing
        ([(2.0, 30.0, 0.01), (2.1, 10.0, 0.02), (2.15, 10.0, 0.03)], 3),  # a controlled weight that is still rising
        ([(2.0, 10.0, 0.02), (2.5, 10.0, 0.02), (float("nan"), 10.0, 0.02)], 1),  # learning by heart, then bursting
    ],
)
def test_best_is_judged_at_the_present_weight_of_the_kl(tmp_path, script, best_epoch):
    result = fit(
        lambda: ScriptedModel(script),
        ToyPipeline(),
        valid_pipeline=ToyPipeline(),
        run_dir=tmp_path,
        options=OPTIONS,
        verbose=0,
    )
    assert result.state.best_step == 4 * best_epoch


def test_without_validation_the_last_epoch_is_the_result(tmp_path, capsys):
    result = fit(ToyModel, ToyPipeline(), run_dir=tmp_path, options=OPTIONS, verbose=2)
    assert result.state.best_step == result.state.step == 12
    assert "around step 12, the last one" in capsys.readouterr().out


def test_clock_ends_a_run_with_a_validated_partial_epoch(tmp_path, monkeypatch):
    ticks = types.SimpleNamespace(monotonic=itertools.count(0.0, 0.05).__next__)  # a clock that no load disturbs
    monkeypatch.setattr("keras_audio_vae.training.loop.time", ticks)
    options = dataclasses.replace(OPTIONS, epochs=0, steps_per_epoch=1_000_000, max_minutes=0.05)
    state = train(tmp_path / "run", options=options, valid_pipeline=ToyPipeline()).state
    assert 10 < state.step == state.ended_step < 100
    assert state.seconds >= 3.0
    assert float(rows(tmp_path / "run")[0]["learning_rate"]) < 1e-4


class Clock(ToyPipeline):
    """A clock that the making of the first batch moves by hours, and each reading by a twentieth of a second."""

    def __init__(self):
        super().__init__()
        self.now, self.opened = 0.0, False

    def monotonic(self):
        self.now += 0.05
        return self.now

    def training(self, batch_size, **kwargs):
        def decode(step):
            self.now += 0.0 if self.opened else 1e4
            self.opened = True
            return step

        def slowly(batch):
            mask = tf.numpy_function(decode, [batch["mask"]], tf.float32)
            return {**batch, "mask": tf.ensure_shape(mask, batch["mask"].shape)}

        return super().training(batch_size, **kwargs).map(slowly)


def test_time_runs_from_when_the_batches_are_ready(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("keras_audio_vae.training.loop.time", clock)
    state = train(tmp_path / "run", clock, dataclasses.replace(OPTIONS, epochs=0, max_minutes=0.05)).state
    assert state.step > 10 and 3.0 <= state.seconds < 60.0


def test_a_limit_shorter_than_a_step_leaves_one_step(tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=0, max_minutes=1e-9)
    result = train(tmp_path / "run", options=options)
    assert result.state.step == result.state.best_step == 1
    assert train(tmp_path / "run", options=options).state.step == 1


class Failing(ToyPipeline):
    """Cannot read step 3, and says so in `faults` if it is told to."""

    def __init__(self, says_so):
        super().__init__()
        self.says_so = says_so

    def training(self, batch_size, **kwargs):
        def read(number, mask):
            if number == 3:
                if self.says_so:
                    self.faults.fatal = UserError("5 of 6 recordings cannot be read any more")
                raise OSError("no disk")
            return mask

        def batch(number, batch):
            mask = tf.numpy_function(read, [number, batch["mask"]], tf.float32)
            return {**batch, "mask": tf.ensure_shape(mask, batch["mask"].shape)}

        return tf.data.Dataset.zip((tf.data.Dataset.counter(), super().training(batch_size, **kwargs))).map(batch)


def test_data_that_fails_for_good_ends_the_run_in_its_own_words(tmp_path):
    with pytest.raises(UserError, match=r"^5 of 6 recordings cannot be read any more$"):
        train(tmp_path / "run", Failing(says_so=True))


def test_an_error_of_tensorflow_without_a_fault_stays_what_it_is(tmp_path):
    with pytest.raises(tf.errors.OpError, match="no disk"):
        train(tmp_path / "run", Failing(says_so=False))


def test_augmentation_reaches_the_pipeline(tmp_path):
    seen = []

    class Watching(ToyPipeline):
        def training(self, batch_size, **kwargs):
            seen.append(kwargs["augmentation"])
            return super().training(batch_size, **kwargs)

    augmentation = Augmentation(random_offset=False, gain_db=3.0)
    train(tmp_path / "run", Watching(), dataclasses.replace(OPTIONS, epochs=1, augmentation=augmentation))
    assert seen == [augmentation]


def test_collapse_is_no_news_while_the_kl_is_being_introduced(tmp_path, capsys):
    class Slow(ToyModel):
        warmup_steps = 300

    options = dataclasses.replace(OPTIONS, epochs=1, steps_per_epoch=250, checkpoint_minutes=60.0)
    for model, warnings in ((ToyModel, 1), (Slow, 0)):
        run_dir = tmp_path / model.__name__
        fit(lambda model=model: model(active_units=0.1), ToyPipeline(), run_dir=run_dir, options=options, verbose=0)
        assert capsys.readouterr().err.count("latent dimensions are in use") == warnings


def test_nan_batch_stops_the_run_and_leaves_the_good_checkpoint(tmp_path):
    with pytest.raises(NonFiniteLoss, match=r"loss became nan at step 5\..*step5\.wav; .*step4\.wav"):
        train(tmp_path / "run", ToyPipeline(broken_step=5))
    saved = checkpoint(tmp_path / "run")
    assert all(np.isfinite(value).all() for value in saved.values())
    assert train(tmp_path / "run").resumed_from == 5


def test_weights_that_break_under_a_finite_loss_are_never_saved(tmp_path):
    class Breaks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 6:
                self.model.dense.bias.assign(np.full(self.model.dense.bias.shape, np.inf))

    with pytest.raises(NonFiniteLoss, match=r"A weight became nan or infinite at step 5\."):
        train(tmp_path / "run", callbacks=[Breaks()])
    assert all(np.isfinite(value).all() for value in checkpoint(tmp_path / "run").values())


def test_checkpoint_of_another_model_is_refused_in_words(tmp_path):
    train(tmp_path / "run")

    def wider():
        model = ToyModel()
        model.extra = keras.layers.Dense(3)
        model.extra.build((None, 5))
        return model

    with pytest.raises(UserError, match=r"belongs to another model: .* absent in the file"):
        fit(wider, ToyPipeline(), run_dir=tmp_path / "run", options=OPTIONS, verbose=0)


def test_damaged_checkpoint_is_refused_in_words(tmp_path):
    train(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="can't be read"):
        train(tmp_path / "run")


def test_partial_file_of_a_killed_write_does_no_harm(tmp_path):
    train(tmp_path / "run", options=dataclasses.replace(OPTIONS, epochs=1))
    (tmp_path / "run" / "checkpoints" / ".last.partial.npz").write_bytes(b"half")
    train(tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run" / "checkpoints")) == ["best.npz", "last.npz"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"batch_size": 0}, "batch_size is the global batch"),
        ({"batch_size": 3}, "must divide by the 2 replicas, got 3"),
        ({"jit_compile": True}, "not several replicas of one CPU"),
    ],
)
def test_what_the_devices_cannot_do_is_refused_before_anything_is_deleted(tmp_path, wrong, said):
    (tmp_path / "log.csv").touch()
    with pytest.raises(UserError, match=said):
        train(tmp_path, options=dataclasses.replace(OPTIONS, replicas=2, **wrong), fresh=True)
    assert (tmp_path / "log.csv").exists()


def test_a_compiled_step_trains_as_one_that_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyModel, "noise", 0.0)  # XLA draws other numbers from the same seed
    options = dataclasses.replace(OPTIONS, epochs=1)
    train(tmp_path / "graph", options=options)
    train(tmp_path / "compiled", options=dataclasses.replace(options, jit_compile=True))
    graph, compiled = checkpoint(tmp_path / "graph"), checkpoint(tmp_path / "compiled")
    for name, value in graph.items():
        np.testing.assert_allclose(compiled[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_seed_decides_the_weights_that_a_run_begins_with():
    def first_weights(seed):
        captured = {}

        class Stop(Exception):
            pass

        def build():
            captured["kernel"] = keras.initializers.GlorotUniform()((3, 3))
            raise Stop

        with pytest.raises(Stop):
            fit(build, ToyPipeline(), run_dir="unused", options=dataclasses.replace(OPTIONS, seed=seed))
        return captured["kernel"].numpy()

    np.testing.assert_array_equal(first_weights(3), first_weights(3))
    assert (first_weights(3) != first_weights(4)).any()


def test_bfloat16_keeps_float32_weights(tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=1, mixed_precision="bfloat16")
    model = train(tmp_path / "run", options=options).model
    assert model.dense.compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"  # what is built after the run is not touched by it
