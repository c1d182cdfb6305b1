"""The Python examples of the README run as they stand there."""

import re
from pathlib import Path

import keras
import numpy as np

README = Path(__file__).parents[1] / "README.md"


def test_the_python_examples_run_and_keep_their_promises(tmp_path, monkeypatch):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile("".join(examples), "README.md", "exec"), names)
    waveform = names["waveform"]
    assert names["sound"].shape == names["reconstruction"].shape == waveform.shape
    np.testing.assert_allclose(names["sound"], names["reconstruction"], atol=1e-5)
    assert names["bits_per_second"].shape == (8,) and names["between"].shape == (5, *waveform.shape[1:])
    saved = keras.saving.load_model("vae.keras").reconstruct(waveform)
    np.testing.assert_allclose(saved, names["reconstruction"], atol=1e-5)
    assert (tmp_path / "export" / "1" / "saved_model.pb").is_file()
    assert names["levels"].bottom.shape[1] == 5 * names["levels"].top.shape[1]
    assert names["swapped"].shape == waveform.shape and names["drawn"].shape[0] == 8
    assert names["codes"].shape == (8, 35, 4) and names["vectors"].shape == (8, 35, 64)
    assert set(names["quantized"]._fields) == {"vectors", "codes", "losses", "measures"}
