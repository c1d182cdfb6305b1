"""Codes of a recording as a small file: a JSON header, the codes packed to their nominal rate, and a checksum.

Layout: the four letters KAVC, the header's length (uint32, little endian), the header (UTF-8 JSON), the packed codes,
and the CRC-32 of all that (uint32, little endian). Nothing in it is executed when it is read.
"""

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_audio_vae.errors import UserError
from keras_audio_vae.files import write_atomically

SUFFIX = ".kavc"
VERSION = 1
_MAGIC = b"KAVC"
_BLOCK_FRAMES = 256  # packed as one number: less than a byte is lost in each


@dataclass(frozen=True)
class CodeFile:
    """What a code file holds.

    Attributes:
        codes: int32 [frames, codebooks].
        codebook_sizes: how many codes each codebook has.
        model: fingerprint of the model that wrote them, whose decoder alone can read them.
        sample_rate: of the recording, Hz.
        channels: of the recording.
        samples: length of the recording.
        gain: what the recording was multiplied by before it was encoded.

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
        """The file's content."""
        facts = {name: value for name, value in vars(self).items() if name != "codes"}
        header = json.dumps({"version": VERSION, "frames": len(self.codes), **facts}, separators=(",", ":")).encode()
        packed = pack(self.codes, self.codebook_sizes)
        content = _MAGIC + struct.pack("<I", len(header)) + header + packed
        return content + struct.pack("<I", zlib.crc32(content))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "codes") -> "CodeFile":
        """Reads a file's content.

        Args:
            content: all of the file.
            name: of the file, for the messages.

        Raises:
            UserError: it is no code file, of a later version, or damaged.
        """
        if content[:4] != _MAGIC:
            raise UserError(f"{name} is no code file: it does not begin with {_MAGIC.decode()}.")
        if len(content) < 12 or zlib.crc32(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
            raise UserError(f"{name} is damaged: its checksum does not fit. Copy it again, or encode the sound again.")
        (length,) = struct.unpack("<I", content[4:8])
        try:
            header = json.loads(content[8 : 8 + length])
            version = header.pop("version")
            if version != VERSION:
                raise UserError(f"{name} is a code file of version {version}; this package reads version {VERSION}.")
            frames, sizes = header.pop("frames"), tuple(header.pop("codebook_sizes"))
            codes = unpack(content[8 + length : -4], frames, sizes)
            return cls(codes, sizes, **header)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{name} is no code file that this package wrote: {error}.") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the file whole or not at all."""
        with write_atomically(path) as partial:
            Path(partial).write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "CodeFile":
        """Reads a file; see `from_bytes` for what is refused."""
        return cls.from_bytes(Path(path).read_bytes(), os.fspath(path))

    @property
    def bits_per_second(self) -> float:
        """What the file spends, its header included."""
        return 8 * len(self.to_bytes()) * self.sample_rate / self.samples


def fingerprint(model: Any) -> str:
    """Sixteen digits that tell a trained model from every other: of its arguments and all its weights.

    Example:
        >>> from keras_audio_vae.models import VQVAE
        >>> model = VQVAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4, codebook_size=8)
        >>> before = fingerprint(model)
        >>> _ = model.network.head.bias.assign(model.network.head.bias + 1)
        >>> len(before), fingerprint(model) == before
        (16, False)
    """
    digest = hashlib.sha256(json.dumps(model.get_config(), sort_keys=True).encode())
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()[:16]


def pack(codes: np.ndarray, sizes: Sequence[int]) -> bytes:
    """Packs codes to within a byte per 256 frames of sum(log2(sizes)) bits a frame.

    The codes of a block are the digits of one number, whose base changes from codebook to codebook: no bit is lost
    where a size is no power of two.

    Args:
        codes: int [frames, codebooks], each below its codebook's size.
        sizes: of the codebooks.

    Returns:
        The bytes.

    Raises:
        ValueError: a code is out of its codebook.

    Example:
        >>> len(pack(np.zeros([256, 3]), sizes=(1000, 1000, 1000))), math.ceil(256 * 3 * math.log2(1000) / 8)
        (957, 957)
    """
    codes = np.asarray(codes, np.int64).reshape(-1, len(sizes))
    if codes.size and not ((codes >= 0) & (codes < np.asarray(sizes))).all():
        raise ValueError(f"the codes of a frame must be 0 to below {tuple(sizes)}")
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
    codes, position = np.empty([frames, len(sizes)], np.int32), 0
    for start in range(0, max(frames, 1), _BLOCK_FRAMES):
        block = codes[start : start + _BLOCK_FRAMES]
        end = position + _block_bytes(len(block), sizes)
        number, position = int.from_bytes(packed[position:end], "little"), end
        for frame in reversed(block):
            for book in reversed(range(len(sizes))):
                number, frame[book] = divmod(number, sizes[book])
        if number:
            raise ValueError("a block holds more than its codes")
    if position != len(packed):
        raise ValueError(f"{frames} frames take {position} bytes, not {len(packed)}")
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
