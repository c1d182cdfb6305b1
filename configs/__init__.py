"""The shipped flag files, one per variant: `--flagfile=configs/vae.flags` finds them from any folder."""
