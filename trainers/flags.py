"""Flags from a dataclass: one field is one flag, and a command is described by its dataclass alone.

A command's settings are a frozen dataclass that derives from `FlagSet` and whose fields are made by `flag`: the field's
default is the flag's, its type the flag's, and what else there is to say (group, help, unit, allowed values) stands in
the same line. absl does the parsing, so that `--flagfile=FILE`, `--name value`, `--name=value` and `--noname` work as
its users know them; the `--help` is this module's, since absl's prints every flag over three lines.

TensorFlow is not imported here: help and a mistyped flag are answered at once.
"""

import dataclasses
import importlib.util
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from absl import flags as absl_flags

Settings = TypeVar("Settings", bound="FlagSet")

HELP_WIDTH = 118
HELP_COLUMN = 38


class FlagError(Exception):
    """A command was given flags that it cannot take; the message is one line that says which and why."""


@contextmanager
def checking_flags() -> Iterator[None]:
    """Turns the ValueErrors of what is built from flags, such as a model, into a `FlagError`.

    Example:
        >>> with checking_flags():
        ...     raise ValueError("depths must have one entry per width")
        Traceback (most recent call last):
        ...
        trainers.flags.FlagError: depths must have one entry per width
    """
    try:
        yield
    except ValueError as error:
        raise FlagError(str(error)) from error


def flag(
    default: Any,
    group: str,
    text: str,
    *,
    unit: str = "",
    choices: Sequence[str] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    required: bool = False,
) -> Any:
    """Declares a field of a `FlagSet`.

    Args:
        default: The value without the flag; its type (bool, int, float, str, or a tuple of int) is the flag's.
        group: The heading that `--help` lists the flag under.
        text: What the flag does, in one sentence.
        unit: The unit of its value, shown by `--help`.
        choices: The allowed values of a string.
        least: The smallest allowed number; of a tuple, of each of its members. So are the following three.
        above: What the number has to be greater than.
        most: The greatest allowed number.
        below: What the number has to be smaller than.
        required: Whether an empty string is refused.

    Returns:
        A dataclass field that carries all this as its metadata.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Settings(FlagSet):
        ...     rate: int = flag(22050, "data", "sample rate", unit="Hz", least=1)
        >>> Settings(rate=0)
        Traceback (most recent call last):
        ValueError: --rate must be at least 1, not 0
    """
    bounds = {"at least": least, "greater than": above, "at most": most, "less than": below}
    metadata = {
        "group": group,
        "text": text,
        "unit": unit,
        "choices": tuple(choices),
        "bounds": {words: bound for words, bound in bounds.items() if bound is not None},
        "required": required,
    }
    return dataclasses.field(default=default, metadata=metadata)


_HOLDS = {
    "at least": lambda number, bound: number >= bound,
    "greater than": lambda number, bound: number > bound,
    "at most": lambda number, bound: number <= bound,
    "less than": lambda number, bound: number < bound,
}


@dataclasses.dataclass(frozen=True)
class FlagSet:
    """The settings of a command: a frozen dataclass whose every field is made by `flag`.

    Attributes:
        GROUPS: The groups of its flags in the order of the help and of the files; () for the order of declaration.

    Raises:
        ValueError: A value is outside of what its flag allows. The message names the flag.
    """

    GROUPS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Checks every value."""
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    @classmethod
    def resolve(cls, arguments: Sequence[str]) -> type[Self]:
        """The class that a command line's flags are of: this one, unless one of its flags chooses between several."""
        return cls


def _check(field: dataclasses.Field, value: Any) -> None:
    """Raises a ValueError that names the flag if the value is not one that the flag allows."""
    limits = field.metadata
    if isinstance(value, str):
        if limits["required"] and not value:
            raise ValueError(f"--{field.name} is required: {limits['text']}")
        if limits["choices"] and value not in limits["choices"]:
            raise ValueError(f"--{field.name} must be one of {', '.join(limits['choices'])}, not {value!r}")
        if value != value.strip() or len(value.splitlines()) > 1:
            raise ValueError(f"--{field.name} must be one line without blanks around it, not {value!r}")
        return
    for number in value if isinstance(value, tuple) else (value,):
        if not math.isfinite(number):
            raise ValueError(f"--{field.name} must be a finite number, not {number}")
        for words, bound in limits["bounds"].items():
            if not _HOLDS[words](number, bound):
                raise ValueError(f"--{field.name} must be {words} {bound}, not {number}")


class _Parser(absl_flags.ArgumentParser):
    """Turns a flag's text into its value, and says in words what was expected where that fails."""

    def __init__(self, convert: Callable[[Any], Any], expected: str) -> None:
        self.convert = convert
        self.syntactic_help = expected

    def parse(self, argument: Any) -> Any:
        try:
            return self.convert(argument)
        except ValueError:
            raise ValueError(f"expected {self.syntactic_help}") from None


def _to_bool(value: Any) -> bool:
    """Reads a truth value; absl hands over defaults as bool and the command line's as text."""
    words = {"true": True, "1": True, "false": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _to_integers(value: Any) -> tuple[int, ...]:
    """Reads "128,256" as (128, 256), and "" as the empty tuple."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(int(part) for part in parts) if value else ()


_PARSERS = {
    bool: _Parser(_to_bool, "true or false"),
    int: _Parser(int, "a whole number"),
    float: _Parser(float, "a number"),
    str: _Parser(str, "text"),
    tuple: _Parser(_to_integers, "whole numbers, separated by commas"),
}


class _FlagValues(absl_flags.FlagValues):
    """absl's parser, which finds the shipped flag files from any folder too."""

    def read_flags_from_files(self, argv: Sequence[str], force_gnu: bool = True) -> list[str]:
        args = list(argv)
        for index, argument in enumerate(args):
            name, equals, file = argument.partition("=")
            if name.lstrip("-") != "flagfile" or not name.startswith("-"):
                continue
            if equals:
                args[index] = f"--flagfile={find_flagfile(file)}"
            elif index + 1 < len(args):
                args[index + 1] = find_flagfile(args[index + 1])
        try:
            return super().read_flags_from_files(args, force_gnu)
        except UnicodeDecodeError as error:
            raise FlagError("a --flagfile is not a text file") from error


def find_flagfile(name: str) -> str:
    """Finds a flag file: as named, else the installed `configs/` file of that name.

    Args:
        name: A path such as "configs/vae.flags". From any folder without such a file it stands for the shipped one.

    Returns:
        The path of a file that exists.

    Raises:
        FlagError: There is none; the message lists the shipped ones.

    Example:
        >>> find_flagfile("configs/vae.flags").endswith("vae.flags")
        True
    """
    path = Path(name).expanduser()
    if path.is_file():
        return str(path)
    shipped = shipped_flagfiles()
    if path.parent in (Path("configs"), Path(".")) and path.name in shipped:
        return str(shipped[path.name])
    raise FlagError(f"there is no flag file {name!r}; shipped are {', '.join(f'configs/{file}' for file in shipped)}")


def shipped_flagfiles() -> dict[str, Path]:
    """Maps the names of the flag files that come with the package to their paths, sorted by name."""
    package = importlib.util.find_spec("configs")
    folders = list(package.submodule_search_locations or ()) if package else []
    return {path.name: path for folder in folders for path in sorted(Path(folder).glob("*.flags"))}


def _define(settings_class: type[FlagSet], only: str = "") -> _FlagValues:
    """Declares a class's fields, or one of them, as flags of a parser apart from absl's process-wide one."""
    values = _FlagValues()
    for field in dataclasses.fields(settings_class):
        if only not in ("", field.name):
            continue
        parser, text = _PARSERS[type(field.default)], field.metadata["text"]
        if isinstance(field.default, bool):
            switch = absl_flags.BooleanFlag(field.name, field.default, text)
            switch.parser = parser
            absl_flags.DEFINE_flag(switch, values)
        else:
            absl_flags.DEFINE(parser, field.name, field.default, text, flag_values=values)
    return values


def parse(settings_class: type[Settings], arguments: Sequence[str]) -> Settings:
    """Parses a command line.

    Args:
        settings_class: The dataclass of the command's settings.
        arguments: The command line without the program's name, such as ["--epochs=3"].

    Returns:
        The settings, checked.

    Raises:
        FlagError: An unknown flag, a bad value, a flag file that is not there, or an argument that is not a flag.

    Example:
        >>> from trainers.settings import FitSettings
        >>> parse(FitSettings, ["--flagfile=configs/vae.flags", "--epochs=3"]).epochs
        3
    """
    chosen = settings_class.resolve(arguments)
    values = _define(chosen)
    try:
        rest = values(["", *arguments])[1:]
        if rest:
            raise FlagError(f"unexpected argument {rest[0]!r}: every argument is a flag, as in --name=value")
        return chosen(**{field.name: values[field.name].value for field in dataclasses.fields(chosen)})
    except (absl_flags.Error, OSError, ValueError) as error:
        raise FlagError(str(error)) from error


def peek(settings_class: type[FlagSet], name: str, arguments: Sequence[str]) -> Any:
    """The value of one flag of a command line, whatever else stands there.

    Args:
        settings_class: A class that has the flag.
        name: The flag.
        arguments: The command line without the program's name.

    Returns:
        Its value there, or its default, also where the command line cannot be read: parsing it will say why.

    Raises:
        FlagError: The flag cannot have that value.

    Example:
        >>> from trainers.settings import FitSettings
        >>> peek(FitSettings, "model", ["--model=vqvae", "--unheard_of=1"])
        'vqvae'
    """
    values = _define(settings_class, only=name)
    try:
        values(["", *arguments], known_only=True)
    except (absl_flags.Error, FlagError, OSError, ValueError):
        values.unparse_flags()
        values.mark_as_parsed()
    [field] = (field for field in dataclasses.fields(settings_class) if field.name == name)
    with checking_flags():
        _check(field, values[name].value)
    return values[name].value


def format_flags(settings: FlagSet, *, leave_out: Sequence[str] = ()) -> str:
    """Writes settings as a flag file, every flag spelled out under its group's heading.

    Args:
        settings: What to write.
        leave_out: The names of flags that are not written.

    Returns:
        Text that `--flagfile` reads back to equal settings.

    Example:
        >>> from trainers.settings import VAESettings
        >>> "--latent_dim=16" in format_flags(VAESettings(latent_dim=16)).splitlines()
        True
    """
    return "".join(
        f"# {group}\n" + "".join(f"--{field.name}={_text(getattr(settings, field.name))}\n" for field in fields)
        for group, fields in _groups(type(settings), leave_out).items()
    )


def format_help(settings_class: type[FlagSet], command: str, purpose: str) -> str:
    """Writes the answer to `--help`: what the command does, then each flag with its default, unit and allowed values.

    Args:
        settings_class: The dataclass of the command's settings.
        command: How the command is called, such as "python -m trainers.fit".
        purpose: What it does, in a sentence.

    Returns:
        The text, grouped, at most `HELP_WIDTH` characters wide.
    """
    lines = [purpose, "", f"usage: {command} [--flagfile=FILE ...] [--name=value ...]"]
    for group, fields in _groups(settings_class).items():
        lines += ["", group]
        for field in fields:
            name = f"  --{field.name}={_text(field.default)}"
            indent = " " * HELP_COLUMN
            first = name.ljust(HELP_COLUMN) if len(name) < HELP_COLUMN - 1 else f"{name}\n{indent}"
            lines.append(first + f"\n{indent}".join(textwrap.wrap(_describe(field), HELP_WIDTH - HELP_COLUMN)))
    lines += ["", "--flagfile=FILE reads flags from a file, one a line; later flags win over earlier ones."]
    return "\n".join(lines)


def _groups(settings_class: type[FlagSet], leave_out: Sequence[str] = ()) -> dict[str, list[dataclasses.Field]]:
    """Sorts a class's fields by group, the groups as the class says, the fields in the order of their declaration."""
    fields = [field for field in dataclasses.fields(settings_class) if field.name not in leave_out]
    names = settings_class.GROUPS or tuple(dict.fromkeys(field.metadata["group"] for field in fields))
    groups = {name: [field for field in fields if field.metadata["group"] == name] for name in names}
    return {name: members for name, members in groups.items() if members}


def _describe(field: dataclasses.Field) -> str:
    """Writes one flag's help: its text, its unit, its allowed values."""
    choices = field.metadata["choices"]
    unit = f" [{field.metadata['unit']}]" if field.metadata["unit"] else ""
    return field.metadata["text"] + unit + (f": {' | '.join(choices)}" if choices else "")


def _text(value: Any) -> str:
    """Writes a value as its flag's parser reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
