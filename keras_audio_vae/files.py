"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lets a file be written beside its place, and moves it there once it is whole and on the disk.

    A process killed at any moment leaves the old file or the new one; what it leaves beside them, the next write
    replaces. If the body raises, the old file stays.

    Args:
        path: The file. Its folder is made if it does not exist.

    Yields:
        The path to write to, in the same folder and with the same ending, which some writers go by.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "log.csv")
        >>> with write_atomically(path) as unfinished:
        ...     _ = unfinished.write_text("step,loss")
        >>> unfinished.name, path.read_text()
        ('.log.partial.csv', 'step,loss')
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield unfinished
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())  # before the move: a file whose name outlives a power cut must have its bytes too
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "notes.txt")
        >>> write_text(path, "whole")
        >>> path.read_text()
        'whole'
    """
    with write_atomically(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
