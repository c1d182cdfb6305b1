"""Makes a record store of a corpus: `python -m trainers.prepare --data=DIR --output=STORE`; `--report` only listens."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainers import command, flags
from trainers.flags import FlagSet, flag

if TYPE_CHECKING:
    from keras_audio_vae.audio import Corpus


@dataclasses.dataclass(frozen=True)
class PrepareSettings(FlagSet):
    """The settings of a preparation; the fields' help texts say what each is.

    Raises:
        ValueError: A value is outside of what its flag allows.
    """

    data: str = flag("", "files", "sound: a folder, a glob, a list file or a file; or fluidnotes", required=True)
    output: str = flag("", "files", "folder of the record store (with --report: of report.txt and report.json)")
    report: bool = flag(False, "files", "listens to everything and says what is there, without making a store")
    strict: bool = flag(False, "files", "a file that cannot be used, or not wholly, is an error")
    scan_cache: str = flag(
        "", "files", "folder that remembers what files hold; empty = ~/.cache/keras_audio_vae, 0 = none"
    )

    sample_rate: int = flag(22050, "store", "rate that every recording is resampled to", unit="Hz", least=1)
    channels: int = flag(1, "store", "channels of the store; 1 mixes every recording down", least=1)
    valid_fraction: float = flag(0.1, "store", "share of the recordings for validation", least=0.0, below=1.0)
    test_fraction: float = flag(0.1, "store", "share of the recordings for the final measures", least=0.0, below=1.0)
    split_by: str = flag(
        "digest", "store", "digest of the names, folder, or a CSV file with the columns file and split", required=True
    )
    shards: int = flag(0, "store", "files of the store; 0 = one per 256 MB", least=0)

    writer: str = flag(
        "auto", "work", "who writes; auto is Beam where it is installed", choices=("auto", "beam", "processes")
    )
    workers: int = flag(0, "work", "processes or threads of this machine; 0 = one per processor", least=0)
    beam_options: str = flag("", "work", 'options for Apache Beam, such as "--runner=FlinkRunner --flink_master=..."')


def main(settings: PrepareSettings) -> None:
    """Writes a record store, or a report on what one would be made of.

    Raises:
        FlagError: There is no `output` for the store, or the fractions leave nothing to train on.
        UserError: There is no usable sound, or the store cannot be written, or another one is there.
    """
    if not settings.output and not settings.report:
        raise flags.FlagError("--output is required: the folder of the record store (or --report to look only)")

    from keras_audio_vae import audio, datasets
    from keras_audio_vae.audio.corpus import format_duration
    from keras_audio_vae.datasets import records, store
    from keras_audio_vae.errors import UserError
    from trainers import data

    output = os.path.expanduser(settings.output)
    if records.is_store(os.path.expanduser(settings.data)):
        raise UserError(f"{settings.data}: this is a record store already; train from it by --data={settings.data}")
    corpus = datasets.load(settings.data, strict=settings.strict, cache=data.scan_cache(settings.scan_cache))
    if settings.report:
        report(corpus, output, settings.workers or os.cpu_count() or 1)
        return
    print(corpus.report(), flush=True)
    with flags.checking_flags():
        parts = datasets.split(corpus, settings.valid_fraction, settings.test_fraction, settings.split_by)
    split_of = {recording.recording_id: name for name, part in parts.items() for recording in part.recordings}
    recordings = tuple(dataclasses.replace(one, split=split_of[one.recording_id]) for one in corpus.recordings)
    manifest = store.write_store(
        audio.Corpus(recordings, corpus.skipped),
        output,
        store.StoreSettings(settings.sample_rate, settings.channels, splitting_of(settings)),
        shards=settings.shards,
        writer=settings.writer,
        workers=settings.workers,
        beam_options=settings.beam_options,
        strict=settings.strict,
        tell=lambda line: print(line, flush=True),
    )
    counts = manifest["counts"]
    for fault in records.load_store(output).faults():
        print(f"  {fault}")
    print(f"{output}: recordings: {counts['recordings']}, {format_duration(counts['seconds'])}")


def splitting_of(settings: PrepareSettings) -> dict[str, float | str]:
    """Picks the flags that decide the splits, as the store's manifest keeps them.

    Example:
        >>> splitting_of(PrepareSettings(data="/music", split_by="/tables/splits.csv"))
        {'valid_fraction': 0.1, 'test_fraction': 0.1, 'split_by': 'splits.csv'}
    """
    # Of a CSV file the name is enough: what it says is in the recordings' splits.
    split_by = os.path.basename(settings.split_by)
    return {"valid_fraction": settings.valid_fraction, "test_fraction": settings.test_fraction, "split_by": split_by}


def report(corpus: "Corpus", output: str, threads: int) -> None:
    """Listens to a corpus and says what is in it.

    Args:
        corpus: What to listen to.
        output: Where the report is saved as well; "" for nowhere.
        threads: How many recordings are heard at a time.

    Raises:
        UserError: The report cannot be saved.
    """
    from keras_audio_vae.audio.survey import survey
    from keras_audio_vae.errors import UserError

    heard = survey(corpus, threads)
    print(heard.report(), flush=True)
    if output:
        folder = Path(output)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "report.txt").write_text(heard.report() + "\n", encoding="utf-8")
            (folder / "report.json").write_text(heard.to_json(), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{output}: the report cannot be written there ({error.strerror})") from error


def cli() -> int:
    """Runs the command with the process's command line and returns the exit status."""
    return command.run(
        main,
        PrepareSettings,
        name="trainers.prepare",
        purpose="Decodes a corpus once into a record store that trains without decoding, or reports what is in it.",
    )


if __name__ == "__main__":
    sys.exit(cli())
