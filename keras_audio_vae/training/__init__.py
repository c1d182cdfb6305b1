"""Training runs: optimizer, averaging, checkpoints, resuming, guards and logs around a model of this package."""

from keras_audio_vae.training.averaging import averaged_weights, inference_copy, use_averaged_weights
from keras_audio_vae.training.checkpoints import Checkpoints, RunState, load_checkpoint
from keras_audio_vae.training.guards import CollapseWarning, NonFiniteGuard, NonFiniteLoss
from keras_audio_vae.training.interrupts import Interrupted, StopRequest
from keras_audio_vae.training.loop import FitOptions, FitResult, Pipeline, fit
from keras_audio_vae.training.optimizer import learning_rate_at, make_optimizer, progress_of
from keras_audio_vae.training.progress import EpochLog, ProgressBar
from keras_audio_vae.training.strategy import check_batch, make_strategy, set_precision
from keras_audio_vae.training.tensorboard import TensorBoardLog

__all__ = [
    "Checkpoints",
    "CollapseWarning",
    "EpochLog",
    "FitOptions",
    "FitResult",
    "Interrupted",
    "NonFiniteGuard",
    "NonFiniteLoss",
    "Pipeline",
    "ProgressBar",
    "RunState",
    "StopRequest",
    "TensorBoardLog",
    "averaged_weights",
    "check_batch",
    "fit",
    "inference_copy",
    "learning_rate_at",
    "load_checkpoint",
    "make_optimizer",
    "make_strategy",
    "progress_of",
    "set_precision",
    "use_averaged_weights",
]
