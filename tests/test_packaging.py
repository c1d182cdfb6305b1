import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in ("keras_audio_vae", "trainers", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", "wheels"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    [path] = (source / "wheels").iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_code_configs_and_recordings_and_nothing_else(wheel):
    names = set(wheel.namelist())
    for folder in ("keras_audio_vae", "trainers", "configs"):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        missing = {path.relative_to(ROOT).as_posix() for path in files} - names
        assert not missing
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"keras_audio_vae", "trainers", "configs"}


def test_the_wheel_names_the_commands_and_the_supported_pythons(wheel):
    texts = {name.rsplit("/", 1)[-1]: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info" in name}
    for command in ("fit", "evaluate", "reconstruct", "export", "prepare"):
        assert f"kav-{command} = trainers.{command}:cli" in texts["entry_points.txt"]
    assert {"<3.13", ">=3.11"} == set(requires_python(texts["METADATA"]))


def requires_python(metadata):
    [line] = [line for line in metadata.splitlines() if line.startswith("Requires-Python: ")]
    return line.removeprefix("Requires-Python: ").split(",")


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 13, 0)])
def test_setup_refuses_other_pythons_in_words(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or 3\.12"):
        exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {"__file__": str(ROOT / "setup.py")})


def run_script(tmp_path, python, *arguments):
    """Calls ./run with an interpreter that is a shell script."""
    interpreter = tmp_path / "python3"
    interpreter.write_text(f"#!/bin/sh\n{python}\n")
    interpreter.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(interpreter), "KAV_VENV": str(tmp_path / "venv")}
    return subprocess.run([ROOT / "run", *arguments], env=environment, capture_output=True, text=True, check=False)


def test_the_run_line_says_first_that_python_is_the_wrong_one(tmp_path):
    done = run_script(tmp_path, 'test "$1" = --version && echo Python 3.10.2', "fit")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("keras_audio_vae needs Python 3.11 or 3.12")
    assert "Python 3.10.2" in done.stderr.splitlines()[0]


def test_the_run_line_names_the_package_of_the_venv_module(tmp_path):
    done = run_script(tmp_path, 'case "$2" in *ensurepip*|virtualenv|pip) exit 1;; esac', "test")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("virtualenv", ["-m venv --without-pip VENV", "-m pip --python VENV/bin/python install", "-m pip install"]),
        ("pip", ["-m virtualenv --quiet VENV", "-m pip install"]),
    ],
)
def test_the_run_line_makes_its_environment_without_ensurepip(tmp_path, missing, said):
    """An interpreter that writes down what it is asked for, and stands in for the environment's too."""
    log = tmp_path / "log"
    python = rf"""
        case "$0 $2" in *python3\ *ensurepip*|*python3\ {missing}) exit 1;; esac
        echo "$@" >> "{log}"
        mkdir -p "{tmp_path}/venv/bin" && cp "$0" "{tmp_path}/venv/bin/python"
    """
    run_script(tmp_path, python, "test")
    asked = log.read_text().replace(str(tmp_path / "venv"), "VENV").splitlines()
    asked = [line for line in asked if "--version" not in line and line.startswith("-m") and "pytest" not in line]
    assert len(asked) == len(said)
    assert all(line.startswith(start) for line, start in zip(asked, said, strict=True))


@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_the_run_line_knows_its_words(tmp_path, arguments):
    done = run_script(tmp_path, "exit 0", *arguments)
    assert done.returncode == 2 and done.stderr.startswith("usage: ")
