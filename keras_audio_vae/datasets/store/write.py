"""Writing a whole record store: what is there already, what is left to do, and the manifest last of all."""

import glob
import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from keras_audio_vae.audio import Corpus, printable
from keras_audio_vae.datasets import records
from keras_audio_vae.datasets.store.plan import ShardPlan, StoreSettings, plan_shards
from keras_audio_vae.datasets.store.runners import run_beam, run_processes
from keras_audio_vae.datasets.store.shards import receipt, write_json
from keras_audio_vae.errors import UserError

WRITERS: tuple[str, ...] = ("auto", "beam", "processes")
REPORTS = ("report.txt", "report.json")  # may lie in a new store's folder: the report is often asked for first
_SHOWN = 3  # examples in a message
_RECOGNISED_BY = ("size", "modified_ns", "samples", "split")


def write_store(
    corpus: Corpus,
    folder: str | os.PathLike[str],
    settings: StoreSettings,
    *,
    shards: int = 0,
    writer: str = "auto",
    workers: int = 0,
    beam_options: str = "",
    strict: bool = False,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write a corpus as a record store, or finish writing it, or find that it is there already.

    Until the manifest is written, at the very end, the folder is no store that could be trained from; what an
    interrupted run has finished is kept by the next. The store's bytes depend on corpus and settings alone.

    Args:
        corpus: recordings with their splits.
        folder: of the store; new, empty, or what a former run has left.
        settings: what the store is made to be.
        shards: how many files; 0 for about one per 256 MB.
        writer: "beam"; "processes"; or "auto", which is Beam where it is installed.
        workers: processes of this machine; 0 for one per processor.
        beam_options: command line for Beam.
        strict: whether a recording that cannot be read is an error; otherwise it is left out and the manifest
            says so.
        tell: called with a line of text as the work goes on.

    Returns:
        The manifest.

    Raises:
        UserError: the folder holds another store or something else, or nothing could be read or written.

    Example:
        >>> import tempfile
        >>> from keras_audio_vae import datasets
        >>> two = Corpus(datasets.load("fluidnotes").recordings[:2])
        >>> folder = os.path.join(tempfile.mkdtemp(), "store")
        >>> write_store(two, folder, StoreSettings(), writer="processes", tell=lambda line: None)["counts"]["samples"]
        44100
        >>> datasets.load(folder).recordings[0].format
        'records of FLAC PCM_16'
    """
    if writer not in WRITERS:
        raise ValueError(f"writer must be one of {', '.join(WRITERS)}; got {writer!r}")
    folder = os.path.abspath(folder)
    plans = plan_shards(corpus, settings, shards)
    if os.path.exists(os.path.join(folder, records.MANIFEST)):
        manifest = records.read_manifest(folder)
        _refuse_other(folder, manifest, plans, shards)
        records.load_store(folder)  # notices what is damaged
        tell(f"{folder}: this record store is already there")
        return manifest
    _make_folder(folder)
    left = [plan for plan in plans if receipt(plan, folder) is None]
    if len(left) < len(plans):
        tell(f"{len(plans) - len(left)} of {len(plans)} shards are there from a former run")
    _run(left, folder, writer, workers or os.cpu_count() or 1, beam_options, tell)
    return _finish(folder, plans, corpus, strict)


def _run(
    plans: Sequence[ShardPlan], folder: str, writer: str, workers: int, options: str, tell: Callable[[str], None]
) -> None:
    """Write the shards that are left, by Beam or by processes."""
    has_beam = importlib.util.find_spec("apache_beam") is not None
    if writer == "beam" and not has_beam:
        raise UserError(
            "Apache Beam is not installed: pip install 'keras_audio_vae[beam]', or do without it by --writer=processes"
        )
    if not plans:
        return
    if has_beam and writer != "processes":
        tell(f"writing by Apache Beam; shards left: {len(plans)}")
        run_beam(plans, folder, workers, options)
    else:
        run_processes(plans, folder, workers, lambda plan: tell(f"wrote {plan.file}"))


def _make_folder(folder: str) -> None:
    """Make the folder, unless there is something in it that is none of a store's."""
    try:
        os.makedirs(folder, exist_ok=True)
        foreign = sorted(name for name in os.listdir(folder) if name not in REPORTS)
        if foreign and records.UNFINISHED not in foreign:
            raise UserError(f"{folder}: it is not empty ({foreign[0]!r} is in it); name a new folder for the store")
        os.makedirs(os.path.join(folder, records.UNFINISHED), exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made the folder of a record store ({error.strerror})") from error


def _refuse_other(folder: str, manifest: dict[str, Any], plans: Sequence[ShardPlan], shards: int) -> None:
    """Raise an error that shows the difference, if a store is not what these plans would write."""
    there, wanted = manifest["settings"], plans[0].settings.to_json()
    differences = [
        f"{name} is {there.get(name)} there and {wanted.get(name)} now"
        for name in dict.fromkeys([*wanted, *there])
        if there.get(name) != wanted.get(name)
    ]
    if shards and len(manifest["shards"]) != len(plans):
        differences.append(f"shards are {len(manifest['shards'])} there and {len(plans)} now")
    differences += _different_sources(records.read_sources(folder), _origins(plans))
    if differences:
        raise UserError(
            f"{folder}: another record store is there: {'; '.join(differences)};"
            " name another --output, or delete the store"
        )


def _different_sources(there: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """In words, which recordings are new, gone, or other than they were; where a file lies makes no difference."""

    def differs(name: str) -> bool:
        return any(there[name][fact] != now[name][fact] for fact in _RECOGNISED_BY)

    groups = {
        "new": sorted(now.keys() - there.keys()),
        "gone": sorted(there.keys() - now.keys()),
        "changed": sorted(name for name in now.keys() & there.keys() if differs(name)),
    }
    return [
        f"{word} recordings: {len(names)} ({', '.join(map(printable, names[:_SHOWN]))}"
        + (", ...)" if len(names) > _SHOWN else ")")
        for word, names in groups.items()
        if names
    ]


def _origins(plans: Sequence[ShardPlan]) -> dict[str, dict[str, Any]]:
    """Which file each recording is from, and what that file was like."""
    return {
        source.recording.recording_id: {
            "path": source.recording.path,
            "size": source.size,
            "modified_ns": source.modified_ns,
            "samples": source.recording.samples,
            "split": source.recording.split,
        }
        for plan in plans
        for source in plan.sources
    }


def _finish(folder: str, plans: Sequence[ShardPlan], corpus: Corpus, strict: bool) -> dict[str, Any]:
    """Gather what the shards' receipts say, write sources, index and manifest, and clear up."""
    receipts = [receipt(plan, folder) for plan in plans]
    written = [facts for facts in receipts if facts is not None]
    if len(written) < len(plans):
        raise UserError(
            f"{folder}: {len(plans) - len(written)} of {len(plans)} shards are not here although their writers have"
            " finished; every Beam worker must reach this folder under this very name"
        )
    unreadable = [entry for facts in written for entry in facts["unreadable"]]
    reasons = [f"{printable(entry['recording_id'])}: {entry['reason']}" for entry in unreadable]
    if unreadable and (strict or len(unreadable) == len(corpus.recordings)):
        shown = "; ".join(reasons[:_SHOWN])
        raise UserError(f"{len(unreadable)} of {len(corpus.recordings)} recordings cannot be read: {shown}")
    rows = {row["recording_id"]: {**row, "shard": n} for n, facts in enumerate(written) for row in facts["recordings"]}
    ordered = [rows[recording.recording_id] for recording in corpus.recordings if recording.recording_id in rows]
    index = {name: [row[name] for row in ordered] for name in records.COLUMNS}
    if strict and (partial := [row for row in ordered if row["partial"]]):
        raise UserError(
            f"{len(partial)} of {len(ordered)} recordings can be used in part only:"
            f" {partial[0]['recording_id']}: {partial[0]['partial']}"
        )
    settings = plans[0].settings
    samples = sum(index["samples"])
    skipped = [asdict(entry) for entry in corpus.skipped]
    manifest = {
        "format": records.FORMAT,
        "version": records.VERSION,
        "settings": settings.to_json(),
        "piece_samples": settings.piece_samples,
        "counts": {
            "recordings": len(ordered),
            "samples": samples,
            "seconds": samples / settings.sample_rate,
            "records": sum(facts["shard"]["records"] for facts in written),
            "splits": dict(sorted(Counter(map(str, index["split"])).items())),
            "partial": sum(map(bool, index["partial"])),
        },
        "shards": [facts["shard"] for facts in written],
        "index": _write_part(folder, records.INDEX, index),
        "sources": _write_part(folder, records.SOURCES, _origins(plans)),
        "skipped": skipped + [{"path": entry["path"], "reason": entry["reason"]} for entry in unreadable],
    }
    write_json(os.path.join(folder, records.MANIFEST), manifest, indent=1)
    _clear_up(folder, {facts["shard"]["file"] for facts in written})
    return manifest


def _write_part(folder: str, file: str, content: Any) -> dict[str, Any]:
    """Write a file of the store, and return what the manifest says of it."""
    path = os.path.join(folder, file)
    write_json(path, content)
    return {"file": file, "bytes": os.path.getsize(path), "sha256": records.sha256_of(path)}


def _clear_up(folder: str, shards: set[str]) -> None:
    """Remove receipts, and shards that an interrupted run with other flags has left."""
    for path in glob.glob(os.path.join(glob.escape(folder), "shard-*-of-*.tfrecord")):
        if os.path.basename(path) not in shards:
            os.unlink(path)
    shutil.rmtree(os.path.join(folder, records.UNFINISHED), ignore_errors=True)
