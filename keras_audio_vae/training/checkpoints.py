"""Checkpoints: everything that a run needs to go on as if it had never stopped, in one file, written atomically.

A checkpoint is a NumPy archive (`numpy.load` reads it): the model's variables, the optimizer's (moments, moving
average, iterations), the running means of the metrics, and the `RunState` as JSON.
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_audio_vae.errors import UserError
from keras_audio_vae.files import write_atomically
from keras_audio_vae.training.averaging import use_averaged_weights
from keras_audio_vae.training.variables import values_of


@dataclasses.dataclass
class RunState:
    """How far a run has come.

    Attributes:
        step: Optimizer steps done.
        ended_step: The step at which an epoch was last brought to its end: validated, logged, compared with the best.
        seconds: Wall-clock time spent so far, over all starts of the run.
        best_step: The step of the best epoch so far; -1 before the first.
        best_loss: Its loss.
        best_kl: Its KL, in nats per frame.
        best_beta: The KL's weight in that loss.

    Example:
        >>> RunState(step=120, ended_step=100).step
        120
    """

    step: int = 0
    ended_step: int = 0
    seconds: float = 0.0
    best_step: int = -1
    best_loss: float = float("inf")
    best_kl: float = 0.0
    best_beta: float = 0.0

    def is_better(self, loss: float, kl: float = 0.0, beta: float = 0.0) -> bool:
        """Whether an epoch is better than the best so far, both at the KL's present weight.

        The weight of the KL moves during a run, and with it the loss: an epoch of the warm-up, when the KL cost
        nothing, would look best for ever, and where the rate is controlled, so would one that spent too many bits. The
        reconstruction's share alone would favour the same epochs. So the best so far is charged anew for its KL.

        Args:
            loss: The loss of the epoch, `beta` times the KL included.
            kl: Its KL in nats per frame; 0 for a model that has none.
            beta: The KL's weight in `loss`.

        Example:
            >>> state = RunState(best_loss=1.0, best_kl=100.0, best_beta=0.0)  # of the warm-up
            >>> state.is_better(loss=3.0, kl=10.0, beta=0.1)  # against 1 + 0.1 * 100
            True
        """
        return loss < self.best_loss + (beta - self.best_beta) * self.best_kl


class Checkpoints:
    """Reads and writes the `last` and the `best` checkpoint of a run.

    Each is written beside its place and then moved there, so that a process killed at any moment leaves a whole file.

    Args:
        folder: Where they are kept, `<run_dir>/checkpoints`. It is made on the first write.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(tempfile.mkdtemp())
        >>> checkpoints.last.name, checkpoints.best.name, checkpoints.last.exists()
        ('last.npz', 'best.npz', False)
    """

    def __init__(self, folder: str | os.PathLike[str]):
        """See the class."""
        self.folder = Path(folder)
        self.last = self.folder / "last.npz"
        self.best = self.folder / "best.npz"

    def save(self, model: keras.Model, state: RunState, *, is_best: bool = False) -> bool:
        """Writes `last`, and `best` as well if asked to, unless a weight is not finite.

        `best` goes first: a process killed between the two finds the better value again when it resumes from `last`.

        Args:
            model: The model, compiled, its optimizer built.
            state: Written beside the weights.
            is_best: Whether this is also the best so far.

        Returns:
            False if some variable holds a value that is not finite: nothing was written, and the files that are there
            are still good.
        """
        variables = _variables(model)
        arrays = dict(zip(variables, values_of(variables.values()), strict=True))
        if not all(np.isfinite(value).all() for value in arrays.values() if value.dtype.kind == "f"):
            return False
        arrays["state"] = np.array(json.dumps(dataclasses.asdict(state)))
        if is_best:
            _write(self.best, arrays)
        _write(self.last, arrays)
        return True

    def clear(self) -> None:
        """Deletes both, for a run that starts over."""
        for path in (self.last, self.best):
            path.unlink(missing_ok=True)


def load_checkpoint(model: keras.Model, path: str | os.PathLike[str], *, averaged: bool = False) -> RunState:
    """Puts a model, its optimizer and its metrics into the state of a checkpoint.

    Args:
        model: A model with the same arguments as the one that was saved, compiled, its optimizer built.
        path: The checkpoint.
        averaged: Whether to use the averaged weights: right for evaluation, wrong for going on with the training.

    Returns:
        The state of the run.

    Raises:
        UserError: the file can't be read, or belongs to a model of another shape.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        state = RunState(**json.loads(str(arrays.pop("state"))))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"The checkpoint {path} can't be read ({error}): restore it, or use fresh.") from error
    variables = _variables(model)
    _check_same_shapes(path, arrays, variables)
    for name, variable in variables.items():
        variable.assign(arrays[name])
    if averaged:
        use_averaged_weights(model)
    return state


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    groups = {"model": model.variables, "optimizer": model.optimizer.variables, "metrics": model.metrics_variables}
    # Numbered, not named: Keras counts its automatic names up per process.
    return {
        f"{group}/{index:04d}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def _check_same_shapes(path: object, arrays: Mapping[str, np.ndarray], variables: Mapping[str, keras.Variable]) -> None:
    saved = {name: tuple(value.shape) for name, value in arrays.items()}
    built = {name: tuple(variable.shape) for name, variable in variables.items()}
    different = [name for name in {**built, **saved} if saved.get(name) != built.get(name)]
    if different:
        name = different[0]
        label = f"{name} ({variables[name].path})" if name in variables else name
        raise UserError(
            f"The checkpoint {path} belongs to another model: {label} is {saved.get(name, 'absent')} in the file and "
            f"{built.get(name, 'absent')} in the model. Use the flags of that run, another run_dir, or fresh."
        )


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with write_atomically(path) as unfinished:
        np.savez(unfinished, **arrays)  # type: ignore[arg-type]
