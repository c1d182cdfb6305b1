"""Which files a folder, a glob, a file or a list file stands for."""

import glob
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from keras_audio_vae.audio import formats
from keras_audio_vae.errors import UserError

LIST_SUFFIXES = (".txt", ".list", ".lst", ".m3u", ".m3u8")


@dataclass(frozen=True)
class Found:
    """The files that one source stands for.

    Attributes:
        roots: folders; recording ids are relative to what they have in common.
        searched: absolute paths of files that lie in a folder, be they sound or not.
        named: absolute paths of files that were named one by one, and so are meant as sound.
        hidden: absolute paths of files and folders whose names begin with a dot, as of what systems keep beside sound:
            they are not looked into.
        unreadable: folders that could not be searched, with the reason.
    """

    roots: list[str]
    searched: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def find(source: str) -> Found:
    r"""List the files of one source, in no certain order.

    Args:
        source: a folder, which is searched in depth, following links; a file; a list file; or a glob.

    Raises:
        UserError: there is no such thing, or nothing matches.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(os.path.join(folder, "mine.txt"), "w").write("# two of them\na.wav\n/music/b.wav\n")
        ...     [os.path.basename(path) for path in find(os.path.join(folder, "mine.txt")).named]
        ['a.wav', 'b.wav']
    """
    path = os.path.abspath(os.path.expanduser(source))
    if os.path.isdir(path):
        return _search(path)
    if os.path.lexists(path):
        return _read_list(path) if _is_list(path) else Found([os.path.dirname(path)], named=[path])
    if not glob.has_magic(source):
        shown = formats.printable(source)
        raise UserError(f"{shown}: there is no such file or folder; check the spelling, or give an absolute path")
    matches = sorted(glob.glob(path, recursive=True))
    if not matches:
        raise UserError(f"{formats.printable(source)}: no file matches this pattern")
    fixed = path[: min(path.find(sign) for sign in "*?[" if sign in path)]
    found = Found([os.path.dirname(fixed)])
    for match in matches:
        _add(found, match)
    return found


def _add(found: Found, path: str) -> None:
    """A match of a pattern: a file, or a folder that is searched."""
    if not os.path.isdir(path):
        (found.hidden if _is_hidden(os.path.basename(path)) else found.searched).append(path)
        return
    inside = _search(path)
    found.searched.extend(inside.searched)
    found.hidden.extend(inside.hidden)
    found.unreadable.update(inside.unreadable)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _search(folder: str) -> Found:
    """All files below a folder, through links too, but no folder twice: links may form a ring."""
    found, seen = Found([folder]), set()

    def note(error: OSError) -> None:
        found.unreadable[os.fspath(error.filename)] = f"the folder cannot be searched: {error.strerror}"

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=note):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in filter(_is_hidden, folders + files):
            found.hidden.append(os.path.join(parent, name))
        folders[:] = sorted(itertools.filterfalse(_is_hidden, folders))
        found.searched.extend(os.path.join(parent, name) for name in itertools.filterfalse(_is_hidden, files))
    return found


def _is_list(path: str) -> bool:
    """Whether a file is a list by its name, and not sound by its content."""
    return path.lower().endswith(LIST_SUFFIXES) and os.path.isfile(path) and not _sounds(path)


def _sounds(path: str) -> bool:
    with open(path, "rb") as file:
        return formats.sniff(file.read(formats.HEAD_BYTES)) is not None


def _read_list(path: str) -> Found:
    """The files that a list names: one a line, relative to the list's folder; lines that begin with # are comments."""
    folder = os.path.dirname(path)
    named = [os.path.normpath(os.path.join(folder, line)) for line in _lines(path) if line and not line.startswith("#")]
    if not named:
        raise UserError(f"{formats.printable(path)}: the list names no file; write one path on each line")
    return Found([folder, *map(os.path.dirname, named)], named=named)


def _lines(path: str) -> Iterator[str]:
    # Names may hold any bytes, so none is an error; utf-8-sig takes away the mark with which Windows begins a text.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
        for line in file:
            yield line.rstrip("\n")
