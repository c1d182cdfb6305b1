"""A real model whose run is killed, and one that runs on two replicas, beside an unbroken run on one."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.training.killed import EPOCHS, STEPS_PER_EPOCH, main

ROOT = Path(__file__).parents[2]


def start(run_dir, step=-1):
    command = [sys.executable, "-m", "tests.training.killed", str(run_dir), "1", str(step)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def end(process, code=0):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors


def weights(run_dir):
    with np.load(run_dir / "checkpoints" / "last.npz") as archive:
        return {name: archive[name] for name in archive if name != "state"}


def test_killed_run_and_two_replicas_end_with_the_weights_of_an_unbroken_run(tmp_path):
    step = random.randrange(1, EPOCHS * STEPS_PER_EPOCH)
    killed = start(tmp_path / "killed", step)
    main(str(tmp_path / "whole"), "1")
    end(killed, -signal.SIGKILL)
    resumed = start(tmp_path / "killed")
    main(str(tmp_path / "mirrored"), "2")
    end(resumed)
    whole, continued, replicated = (weights(tmp_path / name) for name in ("whole", "killed", "mirrored"))
    assert whole.keys() == continued.keys() == replicated.keys()
    for name, value in whole.items():
        print(
            name,
            value.shape,
            np.abs(value - continued[name]).max(),
            np.abs(value - replicated[name]).max(),
            np.abs(value).max(),
        )
