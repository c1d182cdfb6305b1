import pytest

from keras_audio_vae.files import write_atomically, write_text


def test_a_file_is_replaced_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "log.csv"
    for text in ("Größe\n", "less"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"good")
    with pytest.raises(ZeroDivisionError), write_atomically(path) as unfinished:
        assert unfinished.suffix == ".keras"
        unfinished.write_bytes(b"half")
        assert path.read_bytes() == b"good"
        raise ZeroDivisionError
    assert path.read_bytes() == b"good" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_write_left_is_replaced(tmp_path):
    (tmp_path / ".last.partial.npz").write_bytes(b"half of a long file")
    with write_atomically(tmp_path / "last.npz") as unfinished:
        unfinished.write_bytes(b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("last.npz", b"new")]
