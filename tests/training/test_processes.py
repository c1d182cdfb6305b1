"""Runs in processes of their own: killed ones, and ones on two logical CPU devices."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.training.killed import main

ROOT = Path(__file__).parents[2]


def start(run_dir, replicas=1, step=-1):
    command = [sys.executable, "-m", "tests.training.killed", str(run_dir), str(replicas), str(step)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def end(process, code=0):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors


def weights(run_dir):
    with np.load(run_dir / "checkpoints" / "last.npz") as archive:
        return {name: archive[name] for name in archive if name != "state"}


def test_killed_run_and_two_replicas_end_with_the_weights_of_an_unbroken_run(tmp_path):
    step = random.randrange(1, 8)
    killed, mirrored = start(tmp_path / "killed", step=step), start(tmp_path / "mirrored", replicas=2)
    main(str(tmp_path / "whole"), "1")
    end(killed, -signal.SIGKILL)
    resumed = start(tmp_path / "killed")
    end(mirrored)
    end(resumed)
    expected, continued, replicated = (weights(tmp_path / name) for name in ("whole", "killed", "mirrored"))
    for name, value in expected.items():
        np.testing.assert_array_equal(value, continued[name], err_msg=f"{name}, killed before step {step}")
        if not name.startswith("metrics"):
            np.testing.assert_allclose(value, replicated[name], rtol=1e-4, atol=1e-6, err_msg=name)
