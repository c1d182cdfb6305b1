"""Training runs: optimizer, averaging, checkpoints, resuming, guards and logs around a model of this package."""

from keras_audio_vae.training.averaging import averaged_weights, inference_copy, use_averaged_weights
from keras_audio_vae.training.checkpoints import Checkpoints, RunState, load_checkpoint
from keras_audio_vae.training.codebooks import CodebookReport
from keras_audio_vae.training.guards import CollapseWarning, NonFiniteGuard, NonFiniteLoss
from keras_audio_vae.training.interrupts import Interrupted, StopRequest
from keras_audio_vae.training.loop import FitResult, Pipeline, fit
from keras_audio_vae.training.optimizer import learning_rate_at, make_optimizer, progress_of
from keras_audio_vae.training.options import FitOptions
from keras_audio_vae.training.progress import EpochLog, ProgressBar
from keras_audio_vae.training.strategy import check_strategy, make_strategy, precision
from keras_audio_vae.training.tensorboard import TensorBoardLog

__all__ = [
    "Checkpoints",
    "CodebookReport",
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
    "check_strategy",
    "fit",
    "inference_copy",
    "learning_rate_at",
    "load_checkpoint",
    "make_optimizer",
    "make_strategy",
    "precision",
    "progress_of",
    "use_averaged_weights",
]
