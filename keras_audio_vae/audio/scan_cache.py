"""What earlier scans found, so that the next one opens only the files that are new or have changed."""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing

import soundfile

_FILE = "scan.sqlite"
# Part of every key: what a scan finds depends on how it looks. To be raised whenever `read_header` finds anything else.
_VERSION = f"1 {soundfile.__libsndfile_version__}"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS found"
    " (path BLOB PRIMARY KEY, version TEXT, size INTEGER, mtime INTEGER, result TEXT) WITHOUT ROWID"
)
_PATIENCE_SECONDS = 5.0  # for another process that is just writing


class ScanCache:
    """Results by path, size and time of change, in one SQLite file that several processes may share.

    A cache only saves time. One that is damaged, locked or cannot be written is done without; the folder may be
    deleted at any time.

    Args:
        folder: where the file lies or will lie; None for no cache.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "a.wav")
        ...     _ = open(path, "w").write("sound")
        ...     state = ScanCache.state(path)
        ...     ScanCache(folder).store({path: (state, {"samples": 3})})
        ...     ScanCache(folder).load([path])[path] == (state, {"samples": 3})
        True
    """

    def __init__(self, folder: str | None):
        """Nothing is opened yet."""
        self._folder = folder

    @staticmethod
    def state(path: str) -> tuple[int, int] | None:
        """What tells a changed file from an unchanged one: its size in bytes and time of change in ns; None if gone."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def load(self, paths: Iterable[str]) -> dict[str, tuple[tuple[int, int], object]]:
        """What is known of these paths: (state when it was found, result)."""
        if self._folder is None or not os.path.exists(os.path.join(self._folder, _FILE)):
            return {}
        known = {}
        try:
            with closing(self._connect()) as connection:
                for path in paths:
                    query = "SELECT size, mtime, result FROM found WHERE path = ? AND version = ?"
                    row = connection.execute(query, (os.fsencode(path), _VERSION)).fetchone()
                    if row:
                        known[path] = ((row[0], row[1]), json.loads(row[2]))
        except (OSError, sqlite3.Error, ValueError, TypeError):
            return {}
        return known

    def store(self, found: Mapping[str, tuple[tuple[int, int], object]]) -> None:
        """Keep results (any value that JSON can hold) by path, each with the file's state before it was looked at."""
        if self._folder is None or not found:
            return
        rows = [(os.fsencode(path), _VERSION, *state, json.dumps(result)) for path, (state, result) in found.items()]
        try:
            self._write(rows)
        except sqlite3.OperationalError:  # locked, or not to be written: another scan will keep it
            return
        except sqlite3.DatabaseError:  # not a database, or a damaged one: begin another
            self._begin_anew(rows)
        except OSError:
            return

    def _write(self, rows: list[tuple]) -> None:
        os.makedirs(str(self._folder), exist_ok=True)
        with closing(self._connect()) as connection, connection:  # the inner one commits all rows at once, or none
            connection.execute(_TABLE)
            connection.executemany("INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?)", rows)

    def _begin_anew(self, rows: list[tuple]) -> None:
        try:
            os.unlink(os.path.join(str(self._folder), _FILE))
            self._write(rows)
        except (OSError, sqlite3.Error):
            return

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(os.path.join(str(self._folder), _FILE), timeout=_PATIENCE_SECONDS)
