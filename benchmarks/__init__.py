"""What is claimed about speed and quality, as commands; their figures stand in RESULTS.md."""
