import dataclasses
import json
import math
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.errors import UserError
from keras_audio_vae.models import VQVAE
from keras_audio_vae.serving.code_file import CodeFile, fingerprint, pack, unpack


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


@pytest.mark.parametrize(
    "codes",
    [np.zeros([8, 4], int), np.zeros([8], int), np.zeros([1, 8, 2], int), np.full([8, 2], 3.7), np.zeros([8, 2], bool)],
)
def test_codes_of_another_shape_or_type_are_not_written(codes):
    with pytest.raises(ValueError, match="integers \\[frames, 2 codebooks\\], not"):
        pack(codes, sizes=(8, 8))


@pytest.mark.parametrize("sizes", [(), (0,), (-32,), (2**31,), (32.0,), (True,), (8,) * 257])
def test_sizes_that_are_none_are_not_written(sizes):
    with pytest.raises(ValueError, match="codebook_sizes cannot be"):
        pack(np.zeros([0, len(sizes)], int), sizes)


@pytest.fixture(scope="module")
def file():
    codes = np.random.default_rng(0).integers(0, 256, size=[2100, 5])
    return CodeFile(codes, (256,) * 5, "f00d", sample_rate=22050, channels=1, samples=1_322_100, gain=0.5)


def facts(file):
    """All that a file says, comparable by ==."""
    return {**vars(file), "codes": file.codes.tolist()}


def test_a_file_comes_back_equal(file, tmp_path):
    file.write(tmp_path / "sound.kavc")
    assert facts(CodeFile.read(tmp_path / "sound.kavc")) == facts(file)


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=6),
    gain=st.floats(1e-30, 1e30),
    samples=st.integers(1, 2**63 - 1),
    model=st.text(),
)
@settings(deadline=None, max_examples=50)
def test_every_fact_comes_back(sizes, gain, samples, model):
    file = CodeFile(np.zeros([1, len(sizes)], int), tuple(sizes), model, 8000, 2, samples, gain)
    again = CodeFile.from_bytes(file.to_bytes())
    assert np.float32(again.gain) == np.float32(gain)
    assert facts(dataclasses.replace(again, gain=0)) == facts(dataclasses.replace(file, gain=0))


@pytest.mark.parametrize("gain", [0.5, 0.0123456789, 31.6227766])
@pytest.mark.parametrize("seconds", [20, 61, 1000])
def test_a_file_has_its_nominal_size_within_two_percent_from_twenty_seconds_on(seconds, gain):
    samples = seconds * 22050
    codes = np.zeros([-(-samples // 630), 9], int)
    content = CodeFile(codes, (32,) * 9, "0123456789abcdef", 22050, 1, samples, gain).to_bytes()
    nominal = len(codes) * 9 * 5 / 8
    assert nominal + 60 < len(content) <= 1.02 * nominal


def test_numbers_of_numpy_are_written_as_numbers(file):
    typed = dataclasses.replace(
        file,
        codebook_sizes=tuple(np.array(file.codebook_sizes)),
        sample_rate=np.int32(file.sample_rate),
        channels=np.int64(file.channels),
        samples=np.uint32(file.samples),
        gain=np.float32(file.gain),
    )
    assert typed.to_bytes() == file.to_bytes()


def test_files_are_compared_as_objects(file):
    again = CodeFile.from_bytes(file.to_bytes())
    assert file == file and file != again and len({file, again}) == 2


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


def with_header(file, header):
    """The content of a file with another header, and the checksum that it needs."""
    content = file.to_bytes()
    (length,) = struct.unpack("<I", content[4:8])
    content = content[:4] + struct.pack("<I", len(header)) + header + content[8 + length : -4]
    return content + struct.pack("<I", zlib.crc32(content))


PLACES = ("version", "codebooks", "sizes", "frames", "model", "sample_rate", "channels", "samples", "gain")


def changed(file, **changes):
    """The header of a file with other facts; of None, without it."""
    content = file.to_bytes()
    header = dict(zip(PLACES, json.loads(content[8 : 8 + struct.unpack("<I", content[4:8])[0]]), strict=True))
    return json.dumps([fact for fact in {**header, **changes}.values() if fact is not None]).encode()


def test_the_places_of_the_header(file):
    assert json.loads(changed(file)) == [1, 5, [256], 2100, "f00d", 22050, 1, 1_322_100, 0.5]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"version": 2}, "version 2; this package reads version 1"),
        ({"version": "x"}, "version 'x'; this package reads version 1"),
        ({"samples": None}, "says 8 things, not 9"),
        ({"more": 1}, "says 10 things, not 9"),
        ({"frames": 2101}, "2101 frames take 10505 bytes, not 10500"),
        ({"codebooks": 4}, "2100 frames take 8400 bytes, not 10500"),
        ({"codebooks": 0}, "sizes of 0 codebooks cannot be"),
        ({"codebooks": 10**12}, "sizes of 1000000000000 codebooks cannot be"),
        ({"codebooks": "x"}, "sizes of 'x' codebooks cannot be"),
        ({"sizes": []}, r"cannot be \[\]"),
        ({"sizes": [8] * 6}, "sizes of 5 codebooks cannot be"),
        ({"sizes": 32}, "sizes of 5 codebooks cannot be 32"),
        *(({"sizes": [bad]}, "codebook_sizes cannot be") for bad in ("a", 0, -32, 32.0, True, 2**31, 10**400, [1])),
        *(({"frames": bad}, "frames cannot be") for bad in (0, -1, 2.5, "x", True, 10**11, 10**400)),
        ({"sizes": [1], "frames": 10**12}, "frames cannot be 1000000000000"),
        *(({"model": bad}, "model cannot be") for bad in ([1], 1, {})),
        *(({"sample_rate": bad}, "sample_rate cannot be") for bad in (0, -1, 22050.0, "x", [], 10**400)),
        *(({"channels": bad}, "channels cannot be") for bad in (0, -1, True, 1.0)),
        *(({"samples": bad}, "samples cannot be") for bad in (0, -5, "many", 1.5, 10**400)),
        *(({"gain": bad}, "gain cannot be") for bad in (0, -1.0, math.nan, math.inf, "x", True, 10**400, 1e-300)),
    ],
)
def test_a_header_of_what_cannot_be_is_refused_with_its_reason(file, changes, reason):
    with pytest.raises(UserError, match=rf"^a\.kavc is no code file that this package can read: .*{reason}"):
        CodeFile.from_bytes(with_header(file, changed(file, **changes)), "a.kavc")


@pytest.mark.parametrize("field", ["sample_rate", "channels", "samples", "gain"])
def test_null_is_no_fact(file, field):
    header = json.loads(changed(file))
    header[PLACES.index(field)] = None
    with pytest.raises(UserError, match=f"{field} cannot be None"):
        CodeFile.from_bytes(with_header(file, json.dumps(header).encode()))


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"x", b"null", b"{}", b"[]", b"3", b'{"version":1}', b"\xff\xfe[", b"1" * 5000),
        *(b"[" * 200_000, b'{"a":' * 200_000, b"[1,1," + b"[" * 900 + b"]" * 900 + b',1,"",1,1,1,1]'),
    ],
)
def test_a_header_that_is_no_list_of_facts_is_refused(file, header):
    with pytest.raises(UserError, match=r"^a\.kavc is no code file that this package can read: "):
        CodeFile.from_bytes(with_header(file, header), "a.kavc")


def test_a_header_that_does_not_end_is_refused(file):
    content = file.to_bytes()[:4] + struct.pack("<I", 2**32 - 1) + file.to_bytes()[8:-4]
    with pytest.raises(UserError, match="is no code file that this package can read"):
        CodeFile.from_bytes(content + struct.pack("<I", zlib.crc32(content)))


@pytest.mark.parametrize("changes", [{"samples": 0}, {"gain": 0.0}, {"model": 1}, {"sample_rate": None}])
def test_what_would_be_refused_is_not_written(file, changes):
    with pytest.raises(ValueError, match="cannot be"):
        dataclasses.replace(file, **changes).to_bytes()


def test_a_sound_file_is_refused(tmp_path):
    (tmp_path / "sound.wav").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(UserError, match=r"sound\.wav is no code file"):
        CodeFile.read(tmp_path / "sound.wav")


@pytest.fixture(scope="module")
def model():
    network = {"widths": [8], "depths": [1], "strides": [], "latent_dim": 4, "waveform_bands": 4}
    return VQVAE(**network, num_codebooks=2, codebook_size=8, kmeans_init=True, name="one")


def test_a_model_keeps_its_fingerprint_under_another_name_and_when_loaded(model, tmp_path):
    model.save(tmp_path / "one.keras")
    loaded = keras.models.load_model(tmp_path / "one.keras")
    other = VQVAE.from_config({**model.get_config(), "name": "other", "dtype": "float32", "trainable": False})
    other.set_weights(model.get_weights())
    assert fingerprint(loaded) == fingerprint(other) == fingerprint(model)


def test_what_training_alone_uses_is_not_in_the_fingerprint(model):
    before, sound = fingerprint(model), tf.random.stateless_normal([1, 6300, 1], [0, 1])
    codes = model.encode(sound)
    stage = model.quantizer.stages[1]
    stage.codebook.usage.update(tf.range(8.0))
    stage.running_variance.update(tf.constant(2.0), tf.constant(True))
    stage.codebook.step.assign_add(1)
    stage.codebook.num_collected.assign_add(1)
    stage.codebook.collected.assign(stage.codebook.collected + 1)
    model.trackers["loss"].update_state(1.0)
    assert fingerprint(model) == before
    np.testing.assert_array_equal(model.encode(sound), codes)


def test_what_encodes_or_decodes_is_in_the_fingerprint(model):
    seen = {fingerprint(model)}
    used = [
        *(stage.codebook.vectors for stage in model.quantizer.stages),
        model.quantizer.stages[0].codebook.shares,
        model.network.head.kernel,
        model.projection.weights[0],
    ]
    for weight in used:
        weight.assign(weight + 1e-3)
        seen.add(fingerprint(model))
    assert len(seen) == 1 + len(used)


def test_equal_weights_of_other_arguments_or_another_family_have_another_fingerprint(model):
    class Other(VQVAE):
        """A family of its own."""

    config = {**model.get_config(), "conscience": 0.5}
    seen = {fingerprint(model)}
    for made in (VQVAE.from_config(config), Other(**model.get_config())):
        made.set_weights(model.get_weights())
        seen.add(fingerprint(made))
    assert len(seen) == 3
