"""The Python example of the README runs as it stands there."""

import re
from pathlib import Path

import keras
import numpy as np

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs_and_keeps_its_promises(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    waveform = names["waveform"]
    assert names["sound"].shape == names["reconstruction"].shape == waveform.shape
    np.testing.assert_allclose(names["sound"], names["reconstruction"], atol=1e-5)
    assert names["bits_per_second"].shape == (8,) and names["between"].shape == (5, *waveform.shape[1:])
    saved = keras.saving.load_model("vae.keras").reconstruct(waveform)
    np.testing.assert_allclose(saved, names["reconstruction"], atol=1e-5)
    assert (tmp_path / "export" / "1" / "saved_model.pb").is_file()
