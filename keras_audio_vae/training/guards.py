"""Callbacks that say what goes wrong while it goes wrong: losses that are not finite, latents that collapse."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import keras
import tensorflow as tf

from keras_audio_vae.errors import UserError
from keras_audio_vae.layers.quantizers.tokens import NOT_FINITE
from keras_audio_vae.training.checkpoints import RunState


class NonFiniteLoss(UserError):
    """A loss or a weight became NaN or infinite: the run stopped, its last checkpoint is good.

    Example:
        >>> issubclass(NonFiniteLoss, UserError)
        True
    """


class NonFiniteGuard(keras.callbacks.Callback):
    """Stops a run at the step whose logs are not finite, and names that step and its recordings.

    Keras hands the logs of every step to its callbacks as Python numbers anyway, so that looking at them costs nothing.

    Args:
        state: Its `step` is the number of the step under way.
        files_of_step: Gives the recordings in the batch of a step.

    Example:
        >>> guard = NonFiniteGuard(RunState(step=7), lambda step: [f"{step}.wav"])
        >>> guard.on_train_batch_end(0, {"loss": 1.0})
        >>> guard.on_train_batch_end(0, {"loss": float("nan")})
        Traceback (most recent call last):
        ...
        keras_audio_vae.training.guards.NonFiniteLoss: loss became nan at step 7. Recordings in its batch: 7.wav; ...
    """

    def __init__(self, state: RunState, files_of_step: Callable[[int], list[str]]) -> None:
        """See the class."""
        super().__init__()
        self.state = state
        self.files_of_step = files_of_step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the logs of the step."""
        broken = [f"{name} became {value}" for name, value in (logs or {}).items() if not math.isfinite(value)]
        if broken:
            raise self.error(", ".join(broken), self.state.step)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Turns a quantizer's complaint of encodings that are not finite into the error of the step under way."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            if NOT_FINITE not in str(error):
                raise
            raise self.error("What the quantizer was given became nan or infinite", self.state.step) from error

    def error(self, what: str, step: int) -> NonFiniteLoss:
        """The error to raise for a step.

        The batch before it is named too: a loss can be finite and its gradient not, and then it shows one step later.
        """
        message = f"{what} at step {step}. Recordings in its batch: {_few(self.files_of_step(step))}"
        if step:
            message += f"; in the batch before, whose update may be the cause: {_few(self.files_of_step(step - 1))}"
        return NonFiniteLoss(
            f"{message}. The last checkpoint is from before this and is good. Listen to these recordings; if they are "
            "sound, lower learning_rate or raise lr_warmup_steps and start again with fresh."
        )


class LowAlarm:
    """Tells when a share that should be high has reached a new low, once its warm-up is over.

    Args:
        state: Its `step` tells whether the warm-up is over.
        after_step: Steps of warm-up, in which a low share is no news.
        threshold: The lowest share that is taken as healthy.

    Example:
        >>> alarm = LowAlarm(RunState(step=500), after_step=100, threshold=0.5)
        >>> [alarm.is_news(share) for share in (0.6, 0.3, 0.3, 0.4, 0.2)]
        [False, True, False, False, True]
    """

    def __init__(self, state: RunState, after_step: int, threshold: float) -> None:
        """See the class."""
        self.state, self.after_step = state, after_step
        self._told = threshold

    def is_news(self, share: float) -> bool:
        """Whether the share is below the threshold and all that was told of before."""
        if self.state.step < self.after_step or share >= self._told:
            return False
        self._told = share
        return True


class CollapseWarning(keras.callbacks.Callback):
    """Warns at the end of an epoch when too few latent dimensions carry information, and says what to change.

    Active units are dimensions whose posterior mean varies over the data (Burda et al., arXiv:1509.00519). A model
    reports them in its logs as `active_units`, the share of all dimensions, 0 to 1; one of several levels as
    `active_units_top` and so on, and each is watched for itself.

    Args:
        state: Its `step` tells whether the warm-up is over.
        after_step: Steps of warm-up, in which few active units are no news.
        threshold: The lowest share that is taken as healthy.
        warn: Takes the text; the default writes it to the standard error stream.

    Example:
        >>> warning = CollapseWarning(RunState(step=500), after_step=100, warn=print)
        >>> warning.on_epoch_end(4, {"val_active_units": 0.25})
        Warning: 25 % of the latent dimensions are in use at step 500: ...
    """

    def __init__(
        self,
        state: RunState,
        after_step: int,
        threshold: float = 0.5,
        warn: Callable[[str], object] | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        self.state = state
        self.after_step, self.threshold = after_step, threshold
        self.alarms: dict[str, LowAlarm] = {}
        self.warn = warn or (lambda text: print(text, file=sys.stderr))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Looks at the shares of active units, of validation if there is one; tells each new low once."""
        active = {name: value for name, value in (logs or {}).items() if name.startswith("active_units")}
        active |= {
            name.removeprefix("val_"): value
            for name, value in (logs or {}).items()
            if name.startswith("val_active_units")
        }
        for name, share in active.items():
            alarm = self.alarms.setdefault(name, LowAlarm(self.state, self.after_step, self.threshold))
            if alarm.is_news(share):
                self._tell(name.removeprefix("active_units").removeprefix("_"), share)

    def _tell(self, level: str, active: float) -> None:
        """Warns of the collapse of a level, or of the only one."""
        which, prefix = (f"{level} level's ", "top_" if level == "top" else "") if level else ("", "")
        more = {
            "": "or latent_norm=batch, which guarantees a KL; or take a smaller latent_dim",
            "top": "or warmup_order=bottom; raise coarse_weight; or take a smaller top_dim",
            "bottom": "or warmup_order=top; or take a smaller latent_dim",
        }[level]
        self.warn(
            f"Warning: {100 * active:.0f} % of the {which}latent dimensions are in use at step {self.state.step}: the "
            f"posterior is collapsing, and the decoder ignores the rest. Lower {prefix}beta, or raise "
            f"{prefix}target_bps, or use rate_control=free_bits, {more}."
        )


def _few(names: list[str], limit: int = 32) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - limit} more" if len(unique) > limit else ""
    return ", ".join(unique[:limit]) + more
