"""How every command runs: parse, do, and say in one line what the user can mend."""

import os
import signal
import sys
from collections.abc import Callable, Sequence

from trainers import flags

HELP_FLAGS = {"--help", "-help", "-h"}
BAD_FLAGS = 2
SIGNALLED = 128


def run(
    main: Callable[[flags.Settings], None],
    settings_class: type[flags.Settings],
    *,
    name: str,
    purpose: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs a command.

    Args:
        main: Does the work, given the settings.
        settings_class: The dataclass of the settings.
        name: The command's module, such as "trainers.fit".
        purpose: What the command does, in a sentence of `--help`.
        arguments: The command line without the program's name; by default the process's.

    Returns:
        The exit status: 0, 1 after a `keras_audio_vae.errors.UserError` or what the operating system refused (a full
        disk, a folder without permission), 2 after a flag that cannot be, and 128 plus the signal's number after Ctrl-C
        or SIGTERM. In all but the first case one line on standard error says why.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if HELP_FLAGS.intersection(arguments):
            print(flags.format_help(settings_class.resolve(arguments), f"python -m {name}", purpose))
            return 0
        settings = flags.parse(settings_class, arguments)
    except flags.FlagError as error:
        return _fail(name, error, BAD_FLAGS)

    # TensorFlow comes with the next import: slow to load, and loud about CUDA libraries that are not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras_audio_vae.errors import UserError

    try:
        main(settings)
    except flags.FlagError as error:
        return _fail(name, error, BAD_FLAGS)
    except UserError as error:
        signal_number = getattr(error, "signal_number", None)  # of a run that was asked to stop
        return _fail(name, error, SIGNALLED + signal_number if signal_number else 1)
    except OSError as error:
        return _fail(name, f"{error.strerror}: {error.filename}" if error.filename else error, 1)
    except KeyboardInterrupt:
        return _fail(name, "interrupted", SIGNALLED + signal.SIGINT)
    return 0


def _fail(name: str, reason: object, status: int) -> int:
    """Prints one line and returns the exit status."""
    hint = f" (python -m {name} --help lists the flags)" if status == BAD_FLAGS else ""
    print(f"{name}: {' '.join(str(reason).split())}{hint}", file=sys.stderr)
    return status
