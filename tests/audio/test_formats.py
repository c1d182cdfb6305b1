import pytest

from keras_audio_vae.audio import formats


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"fLaC\x00\x00\x00\x22", "flac"),
        (b"RIFF\x00\x00\x00\x00WAVE", "wav"),
        (b"RF64\xff\xff\xff\xffWAVE", "rf64"),
        (b"OggS\x00\x02", "ogg"),
        (b"ID3\x04\x00", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"FORM\x00\x00\x00\x00AIFF", "aiff"),
        (b"RIFF\x00\x00\x00\x00AVI ", None),  # a film
        (b"\xff\xfeh\x00i\x00", None),  # text in UTF-16
        (b"\xff\xff\xff\xff", None),
        (b"\xff\xfb", None),
        (b"", None),
    ],
)
def test_sniff_goes_by_content(head, name):
    assert formats.sniff(head) == name


def test_reasons_are_in_words():
    assert formats.describe_unknown(b"") == "the file is empty"
    assert "text" in formats.describe_unknown("Grüße\n".encode())
    assert "MP4" in formats.describe_unknown(b"\x00\x00\x00\x20ftypM4A ")
    assert "no sound format" in formats.describe_unknown(b"\x00\x01\x02\x03")
