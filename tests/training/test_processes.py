"""A run of a real model that is killed and goes on in another process, beside one that was never stopped."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.training.killed import EPOCHS, STEPS_PER_EPOCH, main

ROOT = Path(__file__).parents[2]


def start(run_dir, step):
    command = [sys.executable, "-m", "tests.training.killed", str(run_dir), str(step)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def everything(run_dir, name):
    with np.load(run_dir / "checkpoints" / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive if key != "state"}


def test_killed_run_ends_with_the_weights_of_an_unbroken_run(tmp_path):
    step = random.randrange(1, EPOCHS * STEPS_PER_EPOCH)
    killed = start(tmp_path / "killed", step)
    main(str(tmp_path / "whole"))
    _, errors = killed.communicate(timeout=600)
    assert killed.returncode == -signal.SIGKILL, errors
    main(str(tmp_path / "killed"))
    for name in ("last", "best"):
        expected, continued = everything(tmp_path / "whole", name), everything(tmp_path / "killed", name)
        assert expected.keys() == continued.keys()
        for key, value in expected.items():
            # Bit for bit: on a CPU the gradients of this package add up in the same order whatever the threads do.
            np.testing.assert_array_equal(value, continued[key], err_msg=f"{name} {key}, killed before step {step}")
