import pytest


@pytest.fixture
def large_blocks(monkeypatch):
    """Blocks of several chunks, as in a corpus of many hours, for corpora that a test goes through in no time."""
    monkeypatch.setattr("keras_audio_vae.datasets.order._FEWEST_TO_BLOCK", 64)
    monkeypatch.setattr("keras_audio_vae.datasets.order._FEWEST_BLOCKS", 64)
