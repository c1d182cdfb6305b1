import json
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.errors import UserError
from keras_audio_vae.serving.code_file import CodeFile, pack, unpack


@st.composite
def codes_and_sizes(draw):
    sizes = tuple(draw(st.lists(st.integers(1, 5000), min_size=1, max_size=6)))
    frames = draw(st.integers(0, 600))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, sizes, size=[frames, len(sizes)]), sizes


@given(codes_and_sizes())
@settings(deadline=None, max_examples=40)
def test_packed_codes_come_back_and_take_the_nominal_rate(drawn):
    codes, sizes = drawn
    packed = pack(codes, sizes)
    np.testing.assert_array_equal(unpack(packed, len(codes), sizes), codes)
    nominal = len(codes) * sum(math.log2(size) for size in sizes) / 8
    assert nominal <= len(packed) + 1e-6
    assert len(packed) <= nominal + 1 + len(codes) / 256


def test_the_largest_codes_fill_every_digit():
    codes = np.full([300, 3], 999)
    np.testing.assert_array_equal(unpack(pack(codes, (1000,) * 3), 300, (1000,) * 3), codes)


@pytest.mark.parametrize("code", [-1, 8])
def test_a_code_out_of_its_codebook_is_not_written(code):
    with pytest.raises(ValueError, match="below"):
        pack(np.array([[0], [code]]), sizes=(8,))


@pytest.fixture(scope="module")
def file():
    codes = np.random.default_rng(0).integers(0, 256, size=[2100, 5])
    return CodeFile(codes, (256,) * 5, "f00d", sample_rate=22050, channels=1, samples=1_322_100, gain=0.5)


def test_a_file_comes_back_equal_and_near_its_nominal_rate(file, tmp_path):
    file.write(tmp_path / "sound.kavc")
    again = CodeFile.read(tmp_path / "sound.kavc")
    np.testing.assert_array_equal(again.codes, file.codes)
    assert {**vars(again), "codes": 0} == {**vars(file), "codes": 0}
    assert file.bits_per_second == pytest.approx(35 * 40, rel=0.02)


def test_any_changed_byte_is_noticed(file):
    content = file.to_bytes()
    for position in np.random.default_rng(1).integers(0, len(content), size=50):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        with pytest.raises(UserError, match=r"a\.kavc (is damaged|is no code file)"):
            CodeFile.from_bytes(bytes(damaged), "a.kavc")


@pytest.mark.parametrize("length", [0, 3, 4, 11, 100])
def test_a_file_that_was_cut_short_is_refused(file, length):
    with pytest.raises(UserError, match=r"is damaged|is no code file"):
        CodeFile.from_bytes(file.to_bytes()[:length])


def with_header(file, **changes):
    content = file.to_bytes()
    (length,) = struct.unpack("<I", content[4:8])
    header = {**json.loads(content[8 : 8 + length]), **changes}
    text = json.dumps({name: value for name, value in header.items() if value is not None}).encode()
    content = content[:4] + struct.pack("<I", len(text)) + text + content[8 + length : -4]
    return content + struct.pack("<I", zlib.crc32(content))


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"version": 2}, "version 2; this package reads version 1"),
        ({"version": None}, "no code file that this package wrote"),
        ({"samples": None}, "no code file that this package wrote"),
        ({"frames": 2101}, "no code file that this package wrote"),
        ({"codebook_sizes": [256] * 4}, "no code file that this package wrote"),
        ({"codebook_sizes": ["a"]}, "no code file that this package wrote"),
    ],
)
def test_a_file_of_another_make_is_refused_with_its_reason(file, changes, reason):
    with pytest.raises(UserError, match=reason):
        CodeFile.from_bytes(with_header(file, **changes))


def test_a_sound_file_is_refused(tmp_path):
    (tmp_path / "sound.wav").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(UserError, match=r"sound\.wav is no code file"):
        CodeFile.read(tmp_path / "sound.wav")
