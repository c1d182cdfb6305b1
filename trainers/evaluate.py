"""Measures a trained model on whole recordings: `python -m trainers.evaluate --run_dir=runs/vae`."""

import dataclasses
import functools
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import command, flags
from trainers.flags import FlagSet, flag
from trainers.settings import FitSettings

if TYPE_CHECKING:
    import numpy as np

    from keras_audio_vae.audio import Corpus, Recording


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(FlagSet):
    """The settings of an evaluation; the fields' help texts say what each is."""

    run_dir: str = flag("", "what", "folder that trainers.fit wrote", required=True)
    data: str = flag("", "what", "other recordings than the run's: a folder, a glob or a file")
    split: str = flag(
        "auto",
        "what",
        "which of the recordings; auto is test, and all of other recordings than the run's",
        choices=("auto", "test", "valid", "train", "all"),
    )
    output: str = flag("", "results", "folder of the results; without it they go to run_dir")
    listen: int = flag(8, "results", "recordings that are written as WAV pairs", unit="recordings", least=0)


def main(settings: EvaluateSettings) -> None:
    """Evaluates, and prints and writes the table."""
    from keras_audio_vae import datasets
    from trainers import data, rundir

    if (settings.data or settings.split not in ("auto", "test")) and not settings.output:
        raise flags.FlagError(
            "--data and --split need an --output: run_dir keeps the evaluation of the run's test split"
        )
    run = rundir.RunDirectory(settings.run_dir)
    fit_settings = run.settings()
    corpus = data.load(settings.data or fit_settings.data, fit_settings)
    if settings.data:
        print(corpus.report(), flush=True)
    parts = {"all": corpus} if settings.data and settings.split in ("auto", "all") else data.split(corpus, fit_settings)
    split = settings.split if settings.split != "auto" else ("all" if settings.data else "test")
    name, chosen = datasets.evaluation_part(parts) if split == "test" else (split, parts[split])
    output = Path(settings.output).expanduser() if settings.output else run.path
    measure(run.load_model(), name, chosen, fit_settings, output=output, listen=settings.listen)
    print(f"\nwritten to {output}")


def measure(model: Any, name: str, corpus: "Corpus", settings: FitSettings, *, output: Path, listen: int) -> None:
    """Measures a model on whole recordings, prints the table, and writes it beside WAV pairs and their picture.

    Args:
        model: The trained model.
        name: The recordings' split.
        corpus: The recordings.
        settings: The flags of the run.
        output: The folder of the results.
        listen: How many recordings are written as WAV pairs.
    """
    from keras_audio_vae import metrics
    from trainers import data

    pipeline = data.chunk(corpus, settings)
    output.mkdir(parents=True, exist_ok=True)
    title = f"Measures on the {name} recordings{', which the training saw' if name == 'train' else ''}"
    recordings = ((entry.recording_id, wave) for entry, wave, _ in pipeline.recordings())
    first = next(recordings, None)
    if first is None:
        print("\nNothing was measured: no recording of the split can be read.", flush=True)
        return
    report = metrics.evaluate(model, itertools.chain([first], recordings), title=title)
    report.write(output)
    print(f"\n{report.table()}", flush=True)
    if listen:
        chosen = [corpus.recordings[index] for index in metrics.spread(len(corpus.recordings), listen)]
        beginnings = [_beginning(one, settings) for one in chosen]
        pairs = metrics.reconstruct_pairs(model, filter(None, beginnings), range(len(beginnings)))
        metrics.write_pairs(output / "listen", pairs, settings.sample_rate)
        metrics.draw_spectrograms(output / "spectrograms.png", pairs, settings.sample_rate)


def _beginning(recording: "Recording", settings: FitSettings) -> "tuple[str, np.ndarray] | None":
    """A recording's id and its first minutes; None where they cannot be read."""
    from keras_audio_vae.audio import Corpus
    from trainers import data

    alone = dataclasses.replace(settings, min_chunk_dbfs=0.0)
    found = next(data.chunk(Corpus((recording,)), alone).recordings(), None)
    return found and (recording.recording_id, found[1])


cli = functools.partial(
    command.run,
    main,
    EvaluateSettings,
    name="trainers.evaluate",
    purpose="Measures the model of a run on whole recordings, beside trivial baselines.",
)


if __name__ == "__main__":
    sys.exit(cli())
