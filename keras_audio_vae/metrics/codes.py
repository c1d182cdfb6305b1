"""How codes are used: counted over a whole split, since a single batch has too few to tell."""

from collections.abc import Sequence

import numpy as np


def code_histogram(codes: np.ndarray, codebook_sizes: Sequence[int]) -> list[np.ndarray]:
    """Counts how often each code of each codebook occurs. Histograms of several recordings add up.

    Args:
        codes: int [..., codebooks], as `model.encode` gives them.
        codebook_sizes: How many codes each codebook has.

    Returns:
        One int64 array [codebook size] per codebook.

    Raises:
        ValueError: If there are more or fewer codebooks than sizes, or a code is none of its codebook's.

    Example:
        >>> code_histogram(np.array([[0, 2], [1, 2], [1, 0]]), codebook_sizes=[2, 3])
        [array([1, 2]), array([1, 0, 2])]
    """
    codes = np.asarray(codes)
    codes = codes.reshape(-1, codes.shape[-1])
    if codes.shape[1] != len(codebook_sizes):
        raise ValueError(f"codes have {codes.shape[1]} codebooks, but {len(codebook_sizes)} sizes are given.")
    for number, (book, size) in enumerate(zip(codes.T, codebook_sizes, strict=True)):
        if book.size and not 0 <= book.min() <= book.max() < size:
            raise ValueError(f"codebook {number} has codes 0 to {size - 1}, not {book.min()} to {book.max()}.")
    return [np.bincount(book, minlength=size) for book, size in zip(codes.T, codebook_sizes, strict=True)]


def code_usage(histogram: np.ndarray) -> float:
    """Returns the share of a codebook's codes that occur at all; 0 of an empty histogram.

    Codes that never occur are paid for and say nothing: the sign of a codebook that has collapsed.

    Args:
        histogram: [codes], counts over a whole split.

    Example:
        >>> code_usage(np.array([5, 1, 0, 0]))
        0.5
    """
    return float(np.mean(np.asarray(histogram) > 0))


def code_entropy_bits(histogram: np.ndarray) -> float:
    """Returns the entropy of a code in bits, -sum p log2 p; 0 of an empty histogram.

    What a code costs on average when codes are written one by one by an ideal entropy coder that knows how often each
    occurs. What a code says of its neighbours would make it cheaper still. Counted from n codes it is too low by about
    (codes - 1) / (2 n ln 2) bits (Miller 1955): count many times more codes than there are in the codebook.

    Reference: Shannon, "A Mathematical Theory of Communication", 1948, section 6.

    Args:
        histogram: [codes], counts over a whole split.

    Example:
        >>> code_entropy_bits(np.array([8, 4, 2, 2]))
        1.75
    """
    counts = np.asarray(histogram, np.float64)
    counts = counts[counts > 0]
    shares = counts / max(counts.sum(), 1.0)
    return float(np.abs(np.sum(shares * np.log2(shares))))  # abs: a sum of nothing, or of log 1, would be -0.0


def perplexity(histogram: np.ndarray) -> float:
    """Returns 2 to the power of the entropy in bits: how many codes, used alike, would have that entropy.

    Between 1 and the codebook's size, which is reached when all codes occur alike; 0 of an empty histogram.

    Reference: van den Oord, Vinyals, Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017.

    Args:
        histogram: [codes], counts over a whole split.

    Example:
        >>> perplexity(np.array([3, 3, 3, 3])), perplexity(np.array([9, 0, 0, 0]))
        (4.0, 1.0)
    """
    return float(2.0 ** code_entropy_bits(histogram)) if np.any(histogram) else 0.0


def nominal_bits_per_second(codebook_sizes: Sequence[int], frames_per_second: float) -> float:
    """Returns the rate of codes that are written as they are: frames_per_second * sum log2(codebook size).

    Args:
        codebook_sizes: How many codes each codebook has.
        frames_per_second: Frames per second, sample_rate / latent_hop.

    Example:
        >>> nominal_bits_per_second([256] * 5, frames_per_second=35.0)
        1400.0
    """
    return float(frames_per_second * np.sum(np.log2(np.asarray(codebook_sizes, np.float64))))


def entropy_bits_per_second(histograms: Sequence[np.ndarray], frames_per_second: float) -> float:
    """Returns the rate of codes that are written with an ideal entropy coder: at most the nominal rate.

    Each codebook for itself, each code for itself: `code_entropy_bits` added up, times frames_per_second.

    Args:
        histograms: One array [codes] of counts per codebook.
        frames_per_second: Frames per second, sample_rate / latent_hop.

    Example:
        >>> entropy_bits_per_second([np.array([8, 4, 2, 2]), np.array([1, 1])], frames_per_second=100.0)
        275.0
    """
    return float(frames_per_second * sum(code_entropy_bits(histogram) for histogram in histograms))
