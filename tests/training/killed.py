"""A run that can be killed, in a process of its own: python -m tests.training.killed RUN_DIR STEP."""

import os
import signal
import sys

import keras

from keras_audio_vae.datasets import Augmentation
from keras_audio_vae.training import FitOptions, fit
from keras_audio_vae.training.variables import scalar_of
from tests.training.tiny import tiny_model, tiny_pipeline

EPOCHS, STEPS_PER_EPOCH = 2, 4


class Kill(keras.callbacks.Callback):
    """SIGKILL: no handler, no clean-up, no second chance."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if scalar_of(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(run_dir: str, step: str = "-1") -> None:
    options = FitOptions(
        epochs=EPOCHS,
        steps_per_epoch=STEPS_PER_EPOCH,
        batch_size=4,
        lr_warmup_steps=2,
        checkpoint_minutes=0.0,
        augmentation=Augmentation(gain_db=6.0),
        replicas=1,
        tensorboard=False,
    )
    fit(
        tiny_model,
        tiny_pipeline("*_kick_*.flac"),
        run_dir=run_dir,
        options=options,
        callbacks=[Kill(int(step))],
        verbose=0,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
