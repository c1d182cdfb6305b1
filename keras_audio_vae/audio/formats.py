"""Which files are sound: by what they contain, never by name alone."""

import os

SUPPORTED_FORMATS = "WAV, FLAC, MP3, OGG (Vorbis or Opus), AIFF, AU, CAF, W64"

# Names that promise sound. Such a file is never passed over in silence: it is used, or skipped with a reason.
_COMMON_SUFFIXES = (".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd")
_RARER_SUFFIXES = (".caf", ".w64", ".rf64", ".m4a", ".aac", ".wma", ".ape", ".wv", ".ac3", ".amr", ".mpc", ".tta")
AUDIO_SUFFIXES = frozenset(_COMMON_SUFFIXES + _RARER_SUFFIXES)

# How sound begins that libsndfile has no decoder for, and what it is called.
_FOREIGN = {
    b"\x30\x26\xb2\x75": "WMA",
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"#!AMR": "AMR",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"TTA": "True Audio",
    b"\x0b\x77": "AC-3",
    b"DSD ": "DSD",
}

HEAD_BYTES = 64  # as much of a file as `sniff` needs

_MAGIC = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"ID3": "mp3",
    b"RF64": "rf64",
    b".snd": "au",
    b"caff": "caf",
    b"riff\x2e\x91\xcf\x11": "w64",
}


def sniff(head: bytes) -> str | None:
    r"""The sound format that a file's first bytes announce.

    Args:
        head: the first bytes of the file, `HEAD_BYTES` of them or the whole of a shorter file.

    Returns:
        "wav", "flac", "mp3", "ogg", "aiff", "au", "caf", "w64" or "rf64"; None for anything else.

    Example:
        >>> sniff(b"RIFF\x24\x00\x00\x00WAVEfmt ")
        'wav'
        >>> sniff(b"Dear diary") is None
        True
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return "mp3" if is_mpeg_layer_3(head) else None


def is_mpeg_layer_3(head: bytes) -> bool:
    """Whether an MPEG audio frame of layer III begins here: sync bits, and no field with a reserved value."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and sample_rate != 3


def named_as_sound(path: str) -> bool:
    """Whether the name alone promises sound; hidden files (".thumb.wav", "._song.mp3") promise nothing.

    Example:
        >>> named_as_sound("a/Kick.WAV"), named_as_sound("a/._Kick.WAV"), named_as_sound("a/notes.txt")
        (True, False, False)
    """
    name = os.path.basename(path)
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path as one line that any terminal, log or JSON file can hold.

    Control characters, invisible ones and bytes that are not UTF-8 become escapes as in Python; a backslash is
    doubled, so that two paths never look the same.

    Example:
        >>> printable("Blue in Green.wav"), printable("two\nlines.wav"), printable("caf\udce9.wav")
        ('Blue in Green.wav', 'two\\nlines.wav', 'caf\\udce9.wav')
    """
    return "".join(
        sign if sign.isprintable() and sign != "\\" else sign.encode("unicode_escape").decode()
        for sign in os.fspath(path)
    )


def describe_unknown(head: bytes) -> str:
    """Why a file that is none of the known formats was refused, in words for its owner.

    Example:
        >>> describe_unknown(b"")
        'the file is empty'
        >>> describe_unknown(b"Dear diary")
        'not sound: it contains text'
    """
    if not head:
        return "the file is empty"
    foreign = next((name for magic, name in _FOREIGN.items() if head.startswith(magic)), "")
    if head[4:8] == b"ftyp":
        foreign = "MP4/AAC"
    if foreign:
        return (
            f"{foreign} is not supported (supported are {SUPPORTED_FORMATS}):"
            " convert it to FLAC or WAV, for instance by ffmpeg -i FILE FILE.flac"
        )
    # Bytes above 127 may belong to UTF-8 letters: only control characters betray binary content.
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return "not sound: it contains text"
    return "its content is no sound format that is known here"
