"""Codes of a recording as a small file: a header, the codes packed to their nominal rate, and a checksum.

Layout: the four letters KAVC, the header's length (uint32, little endian), the header, the packed codes, and the CRC-32
of all that (uint32, little endian). The header is a JSON list: the version, how many codebooks there are, their sizes
(the last holds for all that follow), and what else `_Header` names, in its order. Nothing in a file is executed when it
is read, and nothing is unpacked before the header has been checked.

Some 70 bytes are not codes. At 1.5 kbit/s a file has its nominal size within 2 % from 20 seconds of sound on; one of
three seconds is 12 % larger. At another rate the seconds change in inverse proportion.
"""

import hashlib
import inspect
import json
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_audio_vae.errors import UserError
from keras_audio_vae.files import write_atomically

SUFFIX = ".kavc"
VERSION = 1
_MAGIC = b"KAVC"
_BLOCK_FRAMES = 256  # packed as one number: less than a byte is lost in each

# What a file may say, so that a crafted one takes neither all memory nor for ever.
_LARGEST = 2**31 - 1  # of int32
_MOST_CODEBOOKS = 256
_MOST_CODES = 2**28  # a GiB in memory; ten days of nine codebooks at 35 frames a second

# Of training alone, by name: counters, the tokens for k-means, and running means, which weigh losses and help to choose
# between codes that are nearly as near. What a code stands for depends on none of them.
_TRAINING_STATE = {"step", "collected", "num_collected", "histogram", "weighted", "mass"}


@dataclass(frozen=True, eq=False)
class CodeFile:
    """What a code file holds; compared as objects, so that two of equal content are not equal.

    Attributes:
        codes: integers [frames, codebooks]; int32 if read from a file.
        codebook_sizes: how many codes each codebook has.
        model: fingerprint of the model that wrote them, whose decoder alone can read them.
        sample_rate: of the recording, Hz.
        channels: of the recording.
        samples: length of the recording.
        gain: what the recording was multiplied by before it was encoded; a file keeps it as a float32.

    Example:
        >>> file = CodeFile(np.zeros([2, 1], np.int32), (8,), "f00d", sample_rate=22050, channels=1, samples=1000)
        >>> CodeFile.from_bytes(file.to_bytes()).samples
        1000
    """

    codes: np.ndarray
    codebook_sizes: tuple[int, ...]
    model: str
    sample_rate: int
    channels: int
    samples: int
    gain: float = 1.0

    def to_bytes(self) -> bytes:
        """The file's content.

        Raises:
            ValueError: the codes are not `pack`'s, or another attribute is nothing that a file can say.
        """
        packed = pack(self.codes, self.codebook_sizes)
        facts = {name: _plain(value) for name, value in vars(self).items() if name != "codes"}
        facts["codebook_sizes"] = tuple(map(_plain, self.codebook_sizes))
        header = _write_header(_Header(frames=len(self.codes), **facts))
        content = _MAGIC + struct.pack("<I", len(header)) + header + packed
        return content + struct.pack("<I", zlib.crc32(content))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "codes") -> "CodeFile":
        """Reads a file's content.

        Args:
            content: all of the file.
            name: of the file, for the messages.

        Raises:
            UserError: it is no code file, of another version, damaged, or says what cannot be.
        """
        if content[:4] != _MAGIC:
            raise UserError(f"{name} is no code file: it does not begin with {_MAGIC.decode()}.")
        if len(content) < 12 or zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
            raise UserError(f"{name} is damaged: its checksum does not fit. Copy it again, or encode the sound again.")
        (length,), content = struct.unpack("<I", content[4:8]), content[8:-4]
        try:
            header = _read_header(content[:length])
            codes = unpack(content[length:], header.frames, header.codebook_sizes)
        except (ValueError, RecursionError) as error:  # the latter of lists in lists in lists
            raise UserError(f"{name} is no code file that this package can read: {error}.") from error
        facts = header._asdict()
        del facts["frames"]
        return cls(codes, **facts)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Writes the file whole or not at all, and returns its size in bytes."""
        with write_atomically(path) as partial:
            return Path(partial).write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "CodeFile":
        """Reads a file; see `from_bytes` for what is refused."""
        return cls.from_bytes(Path(path).read_bytes(), os.fspath(path))


class _Header(NamedTuple):
    """What a header says beside the version."""

    codebook_sizes: tuple[int, ...]
    frames: int
    model: str
    sample_rate: int
    channels: int
    samples: int
    gain: float


def _write_header(header: _Header) -> bytes:
    _check(header)
    sizes = list(header.codebook_sizes)
    while sizes[-2:-1] == sizes[-1:]:
        sizes.pop()  # the one before holds for it
    gain = float(str(np.float32(header.gain)))  # the few digits that tell a float32 from every other
    written = [VERSION, len(header.codebook_sizes), sizes, *header._replace(gain=gain)[1:]]
    return json.dumps(written, separators=(",", ":")).encode()


def _read_header(text: bytes) -> _Header:
    written = json.loads(text)
    if not isinstance(written, list) or not written:
        raise ValueError("its header is no list")
    if written[0] != VERSION:
        raise ValueError(f"it is of version {written[0]!r:.40}; this package reads version {VERSION}")
    if len(written) != 2 + len(_Header._fields):
        raise ValueError(f"its header says {len(written)} things, not {2 + len(_Header._fields)}")
    _, codebooks, sizes, *others = written
    if not _is_count(codebooks, _MOST_CODEBOOKS) or not isinstance(sizes, list) or not 1 <= len(sizes) <= codebooks:
        raise ValueError(f"sizes of {codebooks!r:.40} codebooks cannot be {sizes!r:.40}")
    header = _Header((*sizes, *sizes[-1:] * (codebooks - len(sizes))), *others)
    _check(header)
    return header


def _check(header: _Header) -> None:
    """Raises a ValueError unless each fact of a header, written or read, can be true."""
    fits = {
        "codebook_sizes": _are_sizes(header.codebook_sizes),
        "frames": _is_count(header.frames, _MOST_CODES // max(1, len(header.codebook_sizes))),
        "model": isinstance(header.model, str),
        "sample_rate": _is_count(header.sample_rate, _LARGEST),
        "channels": _is_count(header.channels, _LARGEST),
        "samples": _is_count(header.samples, 2**63 - 1),
        # Beyond any level, and well within float32: sound is divided by it. Nothing compares with NaN.
        "gain": type(header.gain) in (int, float) and 1e-30 <= header.gain <= 1e30,
    }
    for name, fit in fits.items():
        if not fit:
            raise ValueError(f"{name} cannot be {getattr(header, name)!r:.40}")


def _is_count(value: Any, most: int) -> bool:
    """Whether a value is an integer of 1 to `most`; True and False are none."""
    return type(value) is int and 1 <= value <= most


def _are_sizes(sizes: Sequence[Any]) -> bool:
    return 1 <= len(sizes) <= _MOST_CODEBOOKS and all(_is_count(size, _LARGEST) for size in sizes)


def _plain(value: Any) -> Any:
    """A scalar of numpy as the number of Python that JSON can write; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def fingerprint(model: Any) -> str:
    """Sixteen digits that tell a trained model from every other: of its family, its arguments and its weights.

    All arguments count, those of training too. What is left out is the model's name, its dtype policy, and the state of
    training beside the weights. A model that was saved and loaded has the fingerprint that it had.

    Args:
        model: an `AudioAutoencoder`.

    Returns:
        Eight bytes as hexadecimal digits.

    Example:
        >>> from keras_audio_vae.models import VQVAE
        >>> model = VQVAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4, codebook_size=8)
        >>> before = fingerprint(model)
        >>> _ = model.network.head.bias.assign(model.network.head.bias + 1)
        >>> len(before), fingerprint(model) == before
        (16, False)
    """
    own = inspect.signature(type(model).__init__).parameters  # what Keras adds to a configuration is not among them
    arguments = {name: value for name, value in model.get_config().items() if name in own}
    digest = hashlib.sha256(json.dumps([type(model).__name__, arguments], sort_keys=True).encode())
    for weight in model.weights:
        if weight.name not in _TRAINING_STATE:
            digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def pack(codes: np.ndarray, sizes: Sequence[int]) -> bytes:
    """Packs codes to within a byte per 256 frames of sum(log2(sizes)) bits a frame.

    The codes of a block are the digits of one number, whose base changes from codebook to codebook: no bit is lost
    where a size is no power of two.

    Args:
        codes: integers [frames, codebooks], each below its codebook's size.
        sizes: of the codebooks.

    Returns:
        The bytes.

    Raises:
        ValueError: the codes are no integers, or of another shape, or one is out of its codebook; or the sizes are
            none.

    Example:
        >>> len(pack(np.zeros([256, 3], int), sizes=(1000, 1000, 1000))), math.ceil(256 * 3 * math.log2(1000) / 8)
        (957, 957)
    """
    codes, sizes = np.asarray(codes), tuple(map(_plain, sizes))
    if not _are_sizes(sizes):
        raise ValueError(f"codebook_sizes cannot be {sizes!r:.40}")
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"codes are integers [frames, {len(sizes)} codebooks], not {codes.dtype} {codes.shape}")
    if not ((codes >= 0) & (codes < np.asarray(sizes))).all():
        raise ValueError(f"the codes of a frame must be 0 to below {sizes}")
    return b"".join(
        _number(block, sizes).to_bytes(_block_bytes(len(block), sizes), "little")
        for block in np.split(codes, range(_BLOCK_FRAMES, len(codes), _BLOCK_FRAMES))
    )


def unpack(packed: bytes, frames: int, sizes: Sequence[int]) -> np.ndarray:
    """The codes that `pack` packed.

    Args:
        packed: what it returned.
        frames: how many frames.
        sizes: of the codebooks.

    Returns:
        int32 [frames, codebooks].

    Raises:
        ValueError: the bytes are not what that many frames give.

    Example:
        >>> unpack(pack(np.array([[3, 1], [0, 7]]), (5, 8)), frames=2, sizes=(5, 8)).tolist()
        [[3, 1], [0, 7]]
    """
    blocks, rest = divmod(frames, _BLOCK_FRAMES)
    expected = blocks * _block_bytes(_BLOCK_FRAMES, sizes) + _block_bytes(rest, sizes)
    if len(packed) != expected:
        raise ValueError(f"{frames} frames take {expected} bytes, not {len(packed)}")
    codes, position = np.empty([frames, len(sizes)], np.int32), 0
    for start in range(0, frames, _BLOCK_FRAMES):
        block = codes[start : start + _BLOCK_FRAMES]
        end = position + _block_bytes(len(block), sizes)
        number, position = int.from_bytes(packed[position:end], "little"), end
        for frame in reversed(block):
            for book in reversed(range(len(sizes))):
                number, frame[book] = divmod(number, sizes[book])
        if number:
            raise ValueError("a block holds more than its codes")
    return codes


def _number(block: np.ndarray, sizes: Sequence[int]) -> int:
    number = 0
    for frame in block.tolist():
        for size, code in zip(sizes, frame, strict=True):
            number = number * size + code
    return number


def _block_bytes(frames: int, sizes: Sequence[int]) -> int:
    """Bytes of the largest number that a block of so many frames can give."""
    return ((math.prod(sizes) ** frames - 1).bit_length() + 7) // 8
