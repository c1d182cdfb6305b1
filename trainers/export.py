"""Writes the SavedModel of a trained model: `python -m trainers.export --run_dir=runs/vae`."""

import dataclasses
import functools
import sys
from pathlib import Path

from trainers import command
from trainers.flags import FlagSet, flag


@dataclasses.dataclass(frozen=True)
class ExportSettings(FlagSet):
    """The settings of an export; the fields' help texts say what each is."""

    run_dir: str = flag("", "files", "folder that trainers.fit wrote", required=True)
    output: str = flag("", "files", "folder of the versions, by default run_dir/export")
    version: int = flag(1, "files", "number of the version: the SavedModel lies in output/version", least=1)


def main(settings: ExportSettings) -> None:
    """Exports, loads the result in a fresh process, and compares its numbers with the model's."""
    from keras_audio_vae import serving
    from trainers import rundir

    run = rundir.RunDirectory(settings.run_dir)
    model = run.load_model()
    folder = Path(settings.output).expanduser() if settings.output else run.export
    path = serving.export(model, folder / str(settings.version))
    difference = serving.verify(model, path)
    print(f"{path}: signatures {', '.join(serving.SIGNATURES)}")
    print(f"loaded without this package and Keras, its numbers differ by at most {difference:.1e} of the largest")


cli = functools.partial(
    command.run,
    main,
    ExportSettings,
    name="trainers.export",
    purpose="Writes the model of a run as a SavedModel for serving, and checks that it gives the same numbers.",
)


if __name__ == "__main__":
    sys.exit(cli())
