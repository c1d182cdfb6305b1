"""What the bytes of a sound file say of its length, and which header it ought to have where they say it wrongly.

libsndfile believes a file's header, and some cannot be believed: a WAV that was streamed says that it is empty, a FLAC
or CAF that was streamed or cut off gives no length or one that is not there, and an MP3 without a Xing frame gives
none, so that libsndfile guesses.
"""

import io
import mmap
import os
import struct
from dataclasses import dataclass

from keras_audio_vae.audio import formats

_FLAC_HEAD = 26  # bytes up to the end of the length in STREAMINFO

# Bytes that programs write which do not know a WAV's size yet: the most that fits, less this and that.
_STREAMED = (range(0x7FFF0000, 2**31), range(0xFFFF0000, 2**32))
_CHUNK = struct.Struct("<4sI")  # name and size
_CAF_CHUNK = struct.Struct(">4sq")
# Where other containers announce their end: (position, type, what must be added to it for the size of the file).
_ANNOUNCED = {"aiff": (4, ">I", 8), "au": (8, ">i", 24), "rf64": (20, "<Q", 8), "w64": (16, "<Q", 0)}

_LARGEST_PAGE = 65536  # bytes; no page of Ogg is larger
_FIRST_OF_STREAM, _LAST_OF_STREAM = 2, 4  # flags of a page of Ogg

_MPEG1_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG1_RATES = (44100, 48000, 32000)  # Hz; half of it in MPEG 2, a quarter in MPEG 2.5
_MPEG_DELAY = 529  # samples, the decoder's own; libsndfile leaves them out where there is a Xing frame


def corrected_head(path: str, samples: int | None = None) -> tuple[bytes, int] | None:
    """The beginning that a file ought to have.

    Args:
        path: a file of any kind.
        samples: its length where that is known better than by its header, as after a scan.

    Returns:
        The bytes to present to libsndfile, and how many of the file's first bytes they replace; None where the file's
        own will do.

    Example:
        >>> from keras_audio_vae import datasets
        >>> path = datasets.load("fluidnotes").recordings[0].path
        >>> corrected_head(path, samples=22050) is None  # that is what it says itself
        True
        >>> head, replaced = corrected_head(path, samples=10000)
        >>> len(head), replaced
        (26, 26)
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(formats.HEAD_BYTES)
        kind = formats.sniff(head)
        if kind == "flac" and samples is not None and len(head) >= _FLAC_HEAD:
            return _flac_head(head, samples)
        if kind == "wav":
            return _wav_head(file, size)
        if kind == "caf":
            return _caf_head(file, size)
        return _mp3_head(file, samples) if kind == "mp3" else None


def flaw(path: str) -> str:
    """Why a file by its own bytes holds less than it should, or more than is read of it; "" where they tell no such.

    libsndfile says nothing when a file ends early, or when only the first of its streams is read.

    Args:
        path: a sound file.

    Example:
        >>> from keras_audio_vae import datasets
        >>> flaw(datasets.load("fluidnotes").recordings[0].path)
        ''
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(formats.HEAD_BYTES)
        kind = formats.sniff(head)
        if kind == "wav":
            return _wav_flaw(file, size)
        if kind == "ogg":
            return _ogg_flaw(file, size)
        if kind == "caf":
            begin, claimed = _data(file, 8, _CAF_CHUNK, even=1) or (0, 0)
            return _missing(begin + claimed - size)
        if kind in _ANNOUNCED and len(head) == formats.HEAD_BYTES:
            position, number, more = _ANNOUNCED[kind]
            return _missing(struct.unpack_from(number, head, position)[0] + more - size)
        return ""


def _missing(bytes_missing: int) -> str:
    return f"it ends {bytes_missing} bytes before the end that its header announces" if bytes_missing > 0 else ""


def _flac_head(head: bytes, samples: int) -> tuple[bytes, int] | None:
    """STREAMINFO with another length, which is its last 36 bits."""
    (last,) = struct.unpack_from(">Q", head, _FLAC_HEAD - 8)
    corrected = last >> 36 << 36 | samples
    return None if corrected == last else (head[: _FLAC_HEAD - 8] + struct.pack(">Q", corrected), _FLAC_HEAD)


def _data(file: io.BufferedReader, begin: int, chunk: struct.Struct, even: int) -> tuple[int, int] | None:
    """Where the samples begin in a file of chunks, and how many bytes of them it claims.

    Args:
        file: the file.
        begin: where its first chunk begins.
        chunk: how a chunk begins: name and size.
        even: what the size of a chunk is filled up to a multiple of.
    """
    file.seek(begin)
    while len(header := file.read(chunk.size)) == chunk.size:
        name, claimed = chunk.unpack(header)
        begin += chunk.size
        if name == b"data":
            return begin, claimed
        begin += max(0, claimed + -claimed % even)
        file.seek(begin)
    return None


def _unannounced(file: io.BufferedReader, begin: int, claimed: int, size: int) -> int:
    """How many bytes follow a WAV's samples that are neither a chunk nor padding."""
    end = begin + claimed + claimed % 2
    if size - end < _CHUNK.size:
        return 0
    file.seek(end)
    name, following = _CHUNK.unpack(file.read(_CHUNK.size))
    is_chunk = name.isascii() and name.decode("ascii").isprintable() and end + following <= size
    return 0 if is_chunk else size - end


@dataclass(frozen=True)
class _WavEnd:
    """The end of a WAV's samples.

    Attributes:
        begin: where they begin.
        missing: how many of the bytes that the header claims are not there.
        unannounced: how many bytes follow that belong to nothing.
        is_open: whether the header's size stands for "to the end of the file": it was never filled in, or is too large
            for its 32 bits.
    """

    begin: int
    missing: int
    unannounced: int
    is_open: bool


def _wav_end(file: io.BufferedReader, size: int) -> _WavEnd | None:
    data = _data(file, 12, _CHUNK, even=2)
    if data is None:
        return None
    begin, claimed = data
    missing, unannounced = max(0, begin + claimed - size), _unannounced(file, begin, claimed, size)
    is_open = unannounced > 0 and (claimed == 0 or unannounced % 2**32 == 0)
    is_open |= missing > 0 and any(claimed in sizes for sizes in _STREAMED)
    return _WavEnd(begin, missing, unannounced, is_open)


def _wav_head(file: io.BufferedReader, size: int) -> tuple[bytes, int] | None:
    """The head of a WAV whose size is open, marked as that of a recorder that was never stopped.

    libsndfile knows RIFF size 8 and data size 0 as that mark, and takes all that follows, even beyond 4 GiB.
    """
    end = _wav_end(file, size)
    if end is None or not end.is_open:
        return None
    file.seek(0)
    head = file.read(end.begin)
    return head[:4] + struct.pack("<I", 8) + head[8:-4] + bytes(4), end.begin


def _wav_flaw(file: io.BufferedReader, size: int) -> str:
    end = _wav_end(file, size)
    if end is None or end.is_open:
        return ""
    if end.unannounced:
        return f"{end.unannounced} bytes after the end that its header announces are not read"
    return _missing(end.missing)


def _caf_head(file: io.BufferedReader, size: int) -> tuple[bytes, int] | None:
    """The head of a CAF that claims more than is there, or (as -1) no size: libsndfile would refuse either."""
    begin, claimed = _data(file, 8, _CAF_CHUNK, even=1) or (0, 0)
    if 0 <= claimed <= size - begin:
        return None
    file.seek(0)
    return file.read(begin - 8) + struct.pack(">q", size - begin), begin


def _ogg_page(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Flags and stream of the page that begins there, and where the next one does."""
    segments = data[at + 27 : at + 27 + data[at + 26]]
    return data[at + 5], data[at + 14 : at + 18], at + 27 + len(segments) + sum(segments)


def _ogg_flaw(file: io.BufferedReader, size: int) -> str:
    """Streams one after another (a chain), of which libsndfile reads the first, or a last page that is not the last.

    A chain is told by its last page: that belongs to none of the streams that begin at the beginning of the file.
    """
    file.seek(0)
    start = file.read(_LARGEST_PAGE)
    first_streams, at = set(), 0
    while len(start) >= at + 27 and start[at + 5] & _FIRST_OF_STREAM:
        _, stream, at = _ogg_page(start, at)
        first_streams.add(stream)
    file.seek(max(0, size - _LARGEST_PAGE))
    end = file.read()
    last = end.rfind(b"OggS\0")
    if last < 0 or len(end) < last + 27:
        return "it does not end with a whole page"
    flags, stream, following = _ogg_page(end, last)
    if stream not in first_streams:
        return "it holds several streams, one after another; only the first is read"
    if not flags & _LAST_OF_STREAM or following > len(end):
        return "it ends before its last page"
    return ""


def _mpeg_frame(header: bytes) -> tuple[int, int] | None:
    """Bytes and samples of the frame of MPEG layer III with this header, its first four bytes; None if it is none."""
    if not formats.is_mpeg_layer_3(header):
        return None
    version = header[1] >> 3 & 3  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    kbps = (_MPEG1_KBPS if version == 3 else _MPEG2_KBPS)[header[2] >> 4]
    sample_rate = _MPEG1_RATES[header[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 1152 if version == 3 else 576
    return samples * kbps * 125 // sample_rate + (header[2] >> 1 & 1), samples


def _count_frames(file: io.BufferedReader, start: int) -> int:
    """How many whole frames there are from there on, whatever lies between them."""
    frames = 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while start >= 0:
            frame = _mpeg_frame(data[start : start + 4])
            if frame is None:
                start = data.find(b"\xff", start + 1)
                continue
            start += frame[0]
            frames += start <= len(data)
    return frames


def _mp3_head(file: io.BufferedReader, samples: int | None) -> tuple[bytes, int] | None:
    """A Xing frame, which holds nothing but the number of frames, for an MP3 that has none.

    Reference: the frame is described with the LAME encoder, http://gabriel.mp3-tech.org/mp3infotag.html
    """
    start = _after_tags(file)
    file.seek(start)
    first = file.read(64)  # a Xing frame has its name within them
    frame = _mpeg_frame(first[:4])
    if frame is None or b"Xing" in first or b"Info" in first:
        return None
    frames = _count_frames(file, start) if samples is None else -(-(samples + _MPEG_DELAY) // frame[1])
    # As its neighbour, but without a check sum, and of the ninth bit rate (80 or 128 kbit/s): large enough for it all.
    header = bytes([first[0], first[1] | 1, 9 << 4 | first[2] & 0x0C, first[3]])
    mono, mpeg1 = header[3] >> 6 == 3, frame[1] == 1152
    side_information = bytes((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    xing = header + side_information + b"Xing" + struct.pack(">II", 1, frames)  # 1: the number of frames follows
    size, _ = _mpeg_frame(header) or (0, 0)
    return xing.ljust(size, b"\0"), start


def _after_tags(file: io.BufferedReader) -> int:
    """Where an MP3's sound begins: after its ID3 tags, whose size comes in four bytes of seven bits."""
    start = 0
    file.seek(0)
    while (tag := file.read(10)).startswith(b"ID3") and len(tag) == 10:
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + size + (10 if tag[5] & 0x10 else 0)  # 0x10: a footer follows
        file.seek(start)
    return start
