"""Sound files out."""

import os
import tempfile

import numpy as np
import soundfile


def write_wav(path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int) -> int:
    """Write a 16-bit WAV file, in one piece or not at all.

    Samples beyond full scale are clipped, and counted, so that the caller can tell. A folder that does not exist yet
    is made.

    Args:
        path: where to; an existing file is replaced.
        waveform: float [samples, channels] or [samples], nominal range -1 to 1.
        sample_rate: Hz.

    Returns:
        How many samples (over all channels) were beyond full scale.

    Raises:
        ValueError: the waveform holds NaN or infinity.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_wav(f"{folder}/a.wav", np.array([0.5, 1.0, -1.5]), 22050)
        1
    """
    waveform = np.asarray(waveform)
    if not np.isfinite(waveform).all():
        raise ValueError(f"{path}: the waveform holds NaN or infinity and cannot be written as sound")
    clipped = int(np.count_nonzero(np.abs(waveform) > 1))
    # 32768, as decoders divide by: what was decoded from 16 bits is written back bit by bit.
    pcm = np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int16)
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    # A name of its own: two writers of one path must not share the unfinished file.
    handle, unfinished = tempfile.mkstemp(suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            soundfile.write(file, pcm, sample_rate, format="WAV", subtype="PCM_16")
        os.chmod(unfinished, 0o644)  # mkstemp makes files for the owner alone
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return clipped
