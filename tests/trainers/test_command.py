import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keras_audio_vae.errors import UserError
from trainers import command, flags
from trainers.flags import FlagSet, flag


@dataclasses.dataclass(frozen=True)
class Settings(FlagSet):
    count: int = flag(1, "numbers", "how many", least=1)


def run(arguments, main=lambda settings: None):
    return command.run(main, Settings, name="trainers.some", purpose="Does something.", arguments=arguments)


def raising(error):
    def main(settings):
        raise error

    return main


class Asked(UserError):
    signal_number = signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "main", "status", "said"),
    [
        (["--cuont=2"], None, 2, "Did you mean: count"),
        (["--count=0"], None, 2, "--count must be at least 1"),
        (["--flagfile=nowhere"], None, 2, "no flag file"),
        (
            [],
            raising(flags.FlagError("count and\nweight differ")),
            2,
            "count and weight differ (python -m trainers.some",
        ),
        ([], raising(UserError("no folder\nof that name")), 1, "trainers.some: no folder of that name\n"),
        ([], raising(Asked("stopped at step 3")), 143, "stopped at step 3"),
        ([], raising(KeyboardInterrupt()), 130, "interrupted"),
        ([], lambda settings: Path("no/such").read_text(), 1, "trainers.some: No such file or directory: no/such\n"),
        ([], raising(OSError(28, "No space left on device")), 1, "No space left on device\n"),
        ([], raising(OSError("unable to\nwrite")), 1, "trainers.some: unable to write\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line(capsys, arguments, main, status, said):
    assert run(arguments, main or (lambda settings: None)) == status
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and said in err


def test_success_is_silent_and_hands_the_settings_over(capsys):
    seen = []
    assert run(["--count=3"], seen.append) == 0
    assert seen == [Settings(count=3)] and capsys.readouterr().err == ""


@pytest.mark.parametrize("spelling", ["--help", "-h"])
def test_help_goes_before_any_error(capsys, spelling):
    assert run(["--cuont=2", spelling]) == 0
    assert "--count=1" in capsys.readouterr().out


def test_a_mistake_in_the_library_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run([], raising(ZeroDivisionError()))


@pytest.mark.parametrize("name", ["fit", "evaluate", "reconstruct", "export", "prepare"])
def test_commands_answer_before_tensorflow_is_loaded(name):
    program = (
        f"import sys; from trainers.{name} import cli; sys.argv[1:] = ['--nosuch=1']; status = cli();"
        " assert not {'tensorflow', 'keras', 'librosa'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"trainers.{name}: Unknown command line flag 'nosuch'")
    assert done.stderr.count("\n") == 1 and done.stdout == ""


@pytest.mark.parametrize("name", ["evaluate", "export"])
def test_a_missing_run_directory_is_one_line(tmp_path, name):
    arguments = [sys.executable, "-m", f"trainers.{name}", f"--run_dir={tmp_path / 'nowhere'}"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no run" in done.stderr and "Traceback" not in done.stderr
    assert [
        line for line in done.stderr.splitlines() if line.startswith(f"trainers.{name}: ")
    ] == done.stderr.splitlines()
