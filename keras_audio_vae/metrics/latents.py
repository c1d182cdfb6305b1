"""What the latents carry: how many bits, in how many dimensions, and whether the decoder listens to them."""

import numpy as np

ACTIVE_VARIANCE = 0.01
"""A dimension whose posterior mean varies no more than this over the data says nothing (Burda et al. 2016)."""


def kl_nats_per_frame(kl_per_dimension: np.ndarray) -> float:
    """Returns the divergence KL(q(z|x) || p(z)) of an average latent frame.

    The expected number of nats that one frame costs to send by bits-back coding.

    Args:
        kl_per_dimension: [..., frames, latent_dim], nats, as `model.kl_per_dimension` gives it.

    Example:
        >>> kl_nats_per_frame(np.full([1, 10, 4], 0.5))
        2.0
    """
    return float(np.mean(np.sum(np.asarray(kl_per_dimension, np.float64), axis=-1)))


def active_units(latents: np.ndarray, threshold: float = ACTIVE_VARIANCE) -> int:
    """Counts the latent dimensions that tell sounds apart: Var_x(E[z | x]) > threshold.

    The variance of the posterior's mean is taken over all frames of all recordings. A dimension whose mean hardly
    moves is ignored by the decoder or about to be.

    Reference: Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, arXiv 1509.00519, section 5.

    Args:
        latents: [..., latent_dim], means of the posterior, as `model.encode` gives them.
        threshold: Variance above which a dimension is active.

    Example:
        >>> active_units(np.array([[0.0, 0.5], [1.0, 0.5]]))
        1
    """
    latents = np.asarray(latents, np.float64)
    return int(np.sum(np.var(latents.reshape(-1, latents.shape[-1]), axis=0) > threshold))


def fit_frames(latents: np.ndarray, frames: int) -> np.ndarray:
    """Returns latents of another recording in the number of frames asked for: repeated from the start, or cut.

    Args:
        latents: [frames of the other recording, latent_dim].
        frames: Number of frames.

    Returns:
        [frames, latent_dim].

    Example:
        >>> fit_frames(np.array([[1.0], [2.0]]), 5).ravel()
        array([1., 2., 1., 2., 1.])
    """
    return latents[np.arange(frames) % len(latents)]
