"""The commands: flags in, library calls out. `python -m trainers.fit --help` is the place to start."""
