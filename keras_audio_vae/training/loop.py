"""One training run, from a model's builder and a pipeline to averaged weights, that can be killed at any step.

The loop is Keras' own (`make_train_function`, `CallbackList`, `evaluate`) written out, for two things that `Model.fit`
can't do: begin in the middle of an epoch, and end without overwriting the weights by their average. Models of this
package train under plain `Model.fit` too; a run adds resuming, checkpoints and guards.

A run that is killed and started again ends with the weights of one that was never stopped: the order of the data, the
augmentation and the noise are functions of the step, and a checkpoint holds all the rest.
"""

import dataclasses
import functools
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf

from keras_audio_vae.datasets import Augmentation
from keras_audio_vae.training.averaging import averaged_weights
from keras_audio_vae.training.checkpoints import Checkpoints, RunState, load_checkpoint
from keras_audio_vae.training.codebooks import CodebookReport
from keras_audio_vae.training.guards import CollapseWarning, NonFiniteGuard
from keras_audio_vae.training.interrupts import Interrupted, StopRequest
from keras_audio_vae.training.optimizer import learning_rate_at, make_optimizer, progress_of
from keras_audio_vae.training.options import FitOptions
from keras_audio_vae.training.progress import EpochLog, ProgressBar
from keras_audio_vae.training.strategy import check_strategy, make_strategy, precision
from keras_audio_vae.training.tensorboard import TensorBoardLog


class Pipeline(Protocol):
    """What a run asks of its data; `keras_audio_vae.datasets.ChunkPipeline` is one.

    Attributes:
        faults: Its `fatal` is None, or the `UserError` that ends the stream of batches.

    Example:
        >>> issubclass(Pipeline, Protocol)
        True
    """

    faults: Any

    def training(
        self, batch_size: int, *, seed: int, first_step: int, augmentation: Augmentation | None
    ) -> tf.data.Dataset:
        """An endless stream of batches; batch i of it is a pure function of (seed, first_step + i)."""

    def evaluation(self, batch_size: int) -> tf.data.Dataset:
        """Every chunk once, in order, in full batches."""

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in one pass over the chunks."""

    def files_of_step(self, step: int, batch_size: int, *, seed: int) -> list[str]:
        """The recordings in one batch of the training stream."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` hands back.

    Attributes:
        model: The model with the averaged weights of the best checkpoint: the one to evaluate, save and export. Best
            is judged by the validation loss of the averaged weights (see `RunState.is_better`). Since the learning
            rate falls to zero, that is nearly always the last epoch, unless the model has begun to learn the training
            recordings by heart. Without validation nothing can tell, and the last epoch is taken. The model still
            carries its optimizer; `inference_copy` gives one without.
        state: The state of the run at its end.
        resumed_from: The step at which this start of the run took over; 0 for a new run.

    Example:
        >>> FitResult(model=None, state=RunState(step=9), resumed_from=0).state.step
        9
    """

    model: Any
    state: RunState
    resumed_from: int


def fit(
    build_model: Callable[[], keras.Model],
    pipeline: Pipeline,
    *,
    run_dir: str | os.PathLike[str],
    options: FitOptions | None = None,
    valid_pipeline: Pipeline | None = None,
    fresh: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 1,
) -> FitResult:
    """Trains a model, or goes on with the training that `run_dir` holds, in the middle of an epoch if need be.

    Args:
        build_model: Makes the model, with the interface of `AudioAutoencoder`; called within the strategy's scope and
            under the precision of the options.
        pipeline: The training data.
        run_dir: Gets `checkpoints/`, `log.csv` and `tensorboard/`.
        options: How to train.
        valid_pipeline: The data of validation, or None.
        fresh: Whether to delete what `run_dir` holds of an earlier run and start over.
        callbacks: Further Keras callbacks.
        verbose: 0 silent, 1 progress bar (one line per epoch where there is no terminal), 2 one line per epoch.

    Returns:
        The model, the state of the run, and the step it was resumed from.

    Raises:
        UserError: Options that can't be met here, or a checkpoint of another model.
        NonFiniteLoss: A loss or weight became NaN or infinite; the last checkpoint is good.
        Interrupted: Ctrl-C or SIGTERM; the state is saved.

    Example:
        >>> fit(keras.Sequential, None, run_dir="runs/x", options=FitOptions(batch_size=0))
        Traceback (most recent call last):
        ...
        keras_audio_vae.errors.UserError: batch_size is the global batch and must divide by the 1 replicas, got 0.
    """
    options = options or FitOptions()
    strategy = make_strategy(options.replicas)
    check_strategy(strategy, batch_size=options.batch_size, jit_compile=options.jit_compile)
    if fresh:
        _clear(Path(run_dir))
    model = _compiled(build_model, strategy, options)
    run = _Run(model, strategy, pipeline, valid_pipeline, Path(run_dir), options)
    if not run.resumed_from:
        with _faults_of(pipeline):
            model.adapt(_every_chunk(pipeline, options.batch_size))
    run.train(callbacks, verbose)
    return run.result(verbose)


def _every_chunk(pipeline: Pipeline, batch_size: int) -> Iterator[Any]:
    """Every chunk once, of which nothing is read or even planned until the first is asked for."""
    yield from pipeline.evaluation(batch_size)


def _compiled(
    build_model: Callable[[], keras.Model], strategy: tf.distribute.Strategy, options: FitOptions
) -> keras.Model:
    keras.utils.set_random_seed(options.seed)  # the layers draw their initial weights from the global generators
    with strategy.scope(), precision(options.mixed_precision):
        model = build_model()
        optimizer = make_optimizer(
            model.trainable_variables,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            ema_decay=options.ema_decay,
        )
        model.compile(optimizer=optimizer, jit_compile=options.jit_compile)
    return model


class _Run:
    """The state of a run and the three moments of its life: a step, the end of an epoch, a checkpoint."""

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        pipeline: Pipeline,
        valid_pipeline: Pipeline | None,
        run_dir: Path,
        options: FitOptions,
    ) -> None:
        self.model, self.strategy, self.options, self.run_dir = model, strategy, options, run_dir
        self.pipeline, self.valid_pipeline = pipeline, valid_pipeline
        self.checkpoints = Checkpoints(run_dir / "checkpoints")
        last = self.checkpoints.last
        self.state = load_checkpoint(model, last) if last.exists() else RunState()
        self.resumed_from = self.state.step
        self.steps_per_epoch = options.steps_per_epoch or pipeline.steps_per_epoch(options.batch_size)
        self.total_steps = options.epochs * self.steps_per_epoch
        self.max_seconds = options.max_minutes * 60.0
        self.guard = NonFiniteGuard(
            self.state, lambda step: pipeline.files_of_step(step, options.batch_size, seed=options.seed)
        )
        self._started = math.inf  # the clock stands still until there is a batch to train with
        self._saved_at = self.state.seconds
        self._logs: dict[str, Any] = {}

    def measure_progress(self) -> float:
        """Reads the clock into the state, and says how much of the run is done, 0 to 1."""
        self.state.seconds = max(self.state.seconds, time.monotonic() - self._started)
        return progress_of(self.state.step, self.total_steps, self.state.seconds, self.max_seconds)

    def train(self, callbacks: Sequence[keras.callbacks.Callback], verbose: int) -> None:
        """Trains until the run's end. A run that was killed between a step and the end of its epoch ends that first."""
        self.model.stop_training = False
        is_finished = self.state.ended_step == self.state.step and self._ended()
        if self.resumed_from and verbose:
            print(self._where_it_stands(is_finished))
        if is_finished:
            return
        self.callbacks = keras.callbacks.CallbackList(
            self._callbacks(callbacks, verbose),
            model=self.model,
            verbose=verbose,
            epochs=self.options.epochs,
            steps=self.steps_per_epoch,
        )
        self.model.make_train_function()
        with StopRequest() as stop:
            batches = self._batches()
            self.callbacks.on_train_begin()
            self._started = time.monotonic() - self.state.seconds
            while self.state.ended_step < self.state.step or not self._ended():
                epoch = self.state.ended_step // self.steps_per_epoch
                self._train_epoch(epoch, batches, stop)
                self._end_epoch(epoch)
                self._stop_if_asked(stop, saved=True)
            self.callbacks.on_train_end()

    def result(self, verbose: int) -> FitResult:
        """The averaged weights of the best checkpoint, in the model."""
        if verbose:
            best, last = self.state.best_step, self.state.step
            of = "the last one" if best == last else f"of {last}: validation got no better afterwards"
            print(f"The result is the average of the weights around step {best}, {of}.")
        load_checkpoint(self.model, self.checkpoints.best, averaged=True)
        return FitResult(self.model, self.state, self.resumed_from)

    def _ended(self) -> bool:
        """Whether the run is over; a limit that is shorter than a step still leaves it one."""
        return self.state.step > 0 and (self.measure_progress() >= 1.0 or self.model.stop_training)

    def _where_it_stands(self, is_finished: bool) -> str:
        step = self.resumed_from
        if is_finished:
            return f"{self.run_dir} is finished, at step {step}; more epochs or minutes would go on, fresh start over."
        epoch, index = divmod(step, self.steps_per_epoch)
        place = f"epoch {epoch + 1}, step {index} of {self.steps_per_epoch}"
        return f"Resuming {self.run_dir} at step {step} ({place}); fresh would start over."

    def _batches(self) -> Iterator[Any]:
        dataset = self.pipeline.training(
            self.options.batch_size,
            seed=self.options.seed,
            first_step=self.state.step,
            augmentation=self.options.augmentation,
        )
        with _faults_of(self.pipeline):
            next(iter(dataset))  # the first batch may have to wait until a corpus is decoded: no time to train in
        return iter(self.strategy.experimental_distribute_dataset(dataset))

    def _train_epoch(self, epoch: int, batches: Iterator[Any], stop: StopRequest) -> None:
        if self.state.step == self.state.ended_step:
            self.model.reset_metrics()
        self._logs = self.model.get_metrics_result()
        self.callbacks.on_epoch_begin(epoch)
        while self.state.step < (epoch + 1) * self.steps_per_epoch and not self._ended():
            self._train_step(self.state.step - epoch * self.steps_per_epoch, batches)
            if self.state.seconds - self._saved_at >= 60.0 * self.options.checkpoint_minutes:
                self._save()
            self._stop_if_asked(stop)

    def _train_step(self, index: int, batches: Iterator[Any]) -> None:
        self.model.optimizer.learning_rate = learning_rate_at(
            self.state.step,
            self.measure_progress(),
            peak=self.options.learning_rate,
            warmup_steps=self.options.lr_warmup_steps,
        )
        self.callbacks.on_train_batch_begin(index)
        with _faults_of(self.pipeline), self.guard.watching():
            self._logs = self.model.train_function(batches)
        self.callbacks.on_train_batch_end(index, self._logs)
        self.state.step += 1

    def _end_epoch(self, epoch: int) -> None:
        logs = {name: float(value) for name, value in self._logs.items()}
        if self.valid_pipeline is not None:
            with averaged_weights(self.model), _faults_of(self.valid_pipeline):
                dataset = self.valid_pipeline.evaluation(self.options.batch_size)
                values = self.model.evaluate(dataset, return_dict=True, verbose=0)
            logs.update({f"val_{name}": value for name, value in values.items()})
        is_best = self._note_if_best(logs)
        self.callbacks.on_epoch_end(epoch, logs)
        self.state.ended_step = self.state.step
        self._save(is_best)

    def _note_if_best(self, logs: dict[str, float]) -> bool:
        """Whether the epoch is the best so far; then the state remembers it. Without validation the last one is."""
        loss, kl, beta = (logs.get(f"val_{name}", 0.0) for name in ("loss", "kl", "beta"))
        if not math.isfinite(loss):
            loss, kl = math.inf, 0.0
        is_first_or_only = self.valid_pipeline is None or not self.checkpoints.best.exists()
        if not is_first_or_only and not self.state.is_better(loss, kl, beta):
            return False
        self.state.best_step = self.state.step
        self.state.best_loss, self.state.best_kl, self.state.best_beta = loss, kl, beta
        return True

    def _save(self, is_best: bool = False) -> None:
        self.measure_progress()
        if not self.checkpoints.save(self.model, self.state, is_best=is_best):
            raise self.guard.error("A weight became nan or infinite", self.state.step - 1)
        self._saved_at = self.state.seconds

    def _stop_if_asked(self, stop: StopRequest, saved: bool = False) -> None:
        if stop.received is None:
            return
        if not saved:
            self._save()
        raise Interrupted(
            f"Stopped at step {self.state.step}, saved in {self.checkpoints.last}: the same command goes on there.",
            stop.received,
        )

    def _callbacks(self, further: Sequence[keras.callbacks.Callback], verbose: int) -> list[keras.callbacks.Callback]:
        warmup = max(self.options.lr_warmup_steps, self.model.warmup_steps, 200)
        own = [
            self.guard,
            CollapseWarning(self.state, after_step=warmup),
            EpochLog(self.run_dir / "log.csv", self.state),
        ]
        if self.options.tensorboard:
            own.append(TensorBoardLog(self.run_dir / "tensorboard", self.state, self._fixed_chunks()))
        if verbose:
            own.append(ProgressBar(self.state, self.max_seconds))
        say = functools.partial(print, flush=True) if verbose else None
        return [*own, CodebookReport(self.state, after_step=warmup, say=say), *further]

    def _fixed_chunks(self, count: int = 4) -> tf.Tensor | None:
        """The chunks of the first validation batch with the most sound in them."""
        if self.valid_pipeline is None:
            return None
        batch = next(iter(self.valid_pipeline.evaluation(self.options.batch_size)))
        order = tf.argsort(tf.reduce_sum(batch["mask"], axis=1), direction="DESCENDING", stable=True)
        return tf.gather(batch["waveform"], order[:count])


@contextmanager
def _faults_of(pipeline: Pipeline) -> Iterator[None]:
    """Says in the pipeline's own words why there are no more batches; TensorFlow passes on no more than a traceback."""
    try:
        yield
    except tf.errors.OpError as error:
        if pipeline.faults.fatal is None:
            raise
        raise pipeline.faults.fatal from error


def _clear(run_dir: Path) -> None:
    Checkpoints(run_dir / "checkpoints").clear()
    (run_dir / "log.csv").unlink(missing_ok=True)
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
