"""What the constructors of all model families do with their arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_audio_vae.layers.network import AudioNetwork
from keras_audio_vae.layers.vocoding import VocoderNetwork
from keras_audio_vae.losses.reconstruction import ReconstructionLoss
from keras_audio_vae.losses.spectrogram import SpectrogramLoss
from keras_audio_vae.losses.terms import WeightedTerms

NETWORK = (
    *("sample_rate", "channels", "frontend", "hop", "n_fft", "mel_bands", "synthesis"),
    *("widths", "depths", "strides", "upsampling"),
)
VOCODER_NETWORK = ("sample_rate", "channels", "hop", "n_fft", "mel_bands", "iterations", "width", "depth")
LOSS_WEIGHTS = ("mse_weight", "waveform_weight", "stft_weight", "mel_weight")
_COUNTS = ("sample_rate", "channels", "hop", "n_fft", "mel_bands")
_AMOUNTS = ("clipnorm",)


def check_arguments(
    config: Mapping[str, Any],
    *,
    counts: Sequence[str] = (),
    amounts: Sequence[str] = (),
    choices: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Checks the arguments that all families have, and those that a family names.

    Args:
        config: The constructor's arguments by name.
        counts: Names of further arguments that must be at least 1.
        amounts: Names of further arguments that must be at least 0.
        choices: By name, the values that an argument can have.

    Raises:
        ValueError: An argument is out of its range; the message names it.

    Example:
        >>> common = dict.fromkeys((*_COUNTS, *_AMOUNTS), 1)
        >>> check_arguments({**common, "beta": -1}, amounts=["beta"])
        Traceback (most recent call last):
        ValueError: beta must be at least 0, not -1.
    """
    for names, least in (((*_COUNTS, *counts), 1), ((*_AMOUNTS, *amounts), 0)):
        for name in names:
            if not config[name] >= least:
                raise ValueError(f"{name} must be at least {least}, not {config[name]}.")
    for name, allowed in (choices or {}).items():
        if config[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {config[name]!r}.")


def linear_bands(config: Mapping[str, Any]) -> int:
    """Coefficients of the linear path per channel: as many as are asked for and the latents hold."""
    return min(config["waveform_bands"], config["latent_dim"] // config["channels"])


def make_network(config: Mapping[str, Any], bands: int, dtype: Any, pooled_samples: int = 0) -> AudioNetwork:
    """The network of a family's arguments; see `AudioNetwork` for what `bands` and `pooled_samples` are."""
    arguments = {name: config[name] for name in NETWORK}
    vocoder = config["vocoder"] and make_vocoder_network(config["vocoder"], dtype)
    return AudioNetwork(**arguments, waveform_bands=bands, pooled_samples=pooled_samples, vocoder=vocoder, dtype=dtype)


def make_vocoder_network(config: Mapping[str, Any], dtype: Any) -> VocoderNetwork:
    """The network of a vocoder's arguments."""
    return VocoderNetwork(**{name: config[name] for name in VOCODER_NETWORK}, dtype=dtype)


def make_loss(config: Mapping[str, Any], network: AudioNetwork) -> WeightedTerms:
    """What a family's arguments charge a reconstruction for.

    Args:
        config: The constructor's arguments by name.
        network: Whose predictions are charged: waveforms, or mel spectrograms.

    Raises:
        ValueError: A weight is given of what a spectrogram does not have.
    """
    if network.mel is None:
        return ReconstructionLoss(config["sample_rate"], **{name: config[name] for name in LOSS_WEIGHTS})
    for name in ("waveform_weight", "stft_weight"):
        if config[name]:
            raise ValueError(f"{name} must be 0 with frontend=mel: mel bands have no phase that it could hear.")
    return SpectrogramLoss(network.mel, mse_weight=config["mse_weight"], mel_weight=config["mel_weight"])
