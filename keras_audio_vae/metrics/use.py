"""What the latents of an evaluation are used for, by the kind of latents: Gaussian vectors or codes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from keras_audio_vae.losses.rate import bits_per_second
from keras_audio_vae.metrics.codes import (
    code_histogram,
    code_usage,
    entropy_bits_per_second,
    nominal_bits_per_second,
    perplexity,
)
from keras_audio_vae.metrics.latents import active_units, kl_nats_per_frame

KL = "KL (nats per latent frame)"
RATE = "rate (bits/s)"


class Use(Protocol):
    """What a report says of the latents.

    Attributes:
        frames_per_second: Latent frames per second.
        shuffled_rise: By the name of a distance, its mean with latents of other recordings over its mean with the right
            ones; near 1 the decoder does not listen to the latents. Empty if only one recording was evaluated.
    """

    @property
    def frames_per_second(self) -> float:
        """See the class."""

    @property
    def shuffled_rise(self) -> Mapping[str, float]:
        """See the class."""

    def lines(self) -> list[tuple[str, str]]:
        """Titles and texts to stand below the table."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""


@dataclass(frozen=True)
class LatentUse:
    """What Gaussian latents carry.

    Attributes:
        frames_per_second: Latent frames per second.
        kl_per_dimension: Mean KL of every latent dimension, nats per frame.
        active_units: How many dimensions have a posterior mean whose variance over all frames is above
            `ACTIVE_VARIANCE`.
        shuffled_rise: See `Use`.

    Example:
        >>> LatentUse(35.0, (0.5, 0.0), 1, {}).dimensions
        2
    """

    frames_per_second: float
    kl_per_dimension: tuple[float, ...]
    active_units: int
    shuffled_rise: Mapping[str, float] = field(default_factory=dict)

    @property
    def dimensions(self) -> int:
        """Number of latent dimensions."""
        return len(self.kl_per_dimension)

    def lines(self) -> list[tuple[str, str]]:
        """How many dimensions there are, and how many are used."""
        share = f"{self.active_units / self.dimensions:.0%}".replace("%", " %")
        return [
            ("latents", f"{self.dimensions} dimensions at {self.frames_per_second:.1f} frames per second"),
            ("active units", f"{self.active_units} of {self.dimensions} ({share})"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {"dimensions": self.dimensions, **asdict(self)}


@dataclass(frozen=True)
class CodeUse:
    """How codes are used, from their counts over all recordings together.

    Attributes:
        frames_per_second: Latent frames per second.
        codebook_sizes: How many codes each codebook has.
        usage: Share of each codebook's codes that occur.
        perplexity: Of each codebook: how many equally frequent codes would say as much.
        entropy_bps: What an ideal entropy coder that knows the frequencies would spend, bits per second.
        nominal_bps: What fixed-length codes spend, bits per second.
        shuffled_rise: See `Use`.

    Example:
        >>> use = CodeUse(35.0, (4,), (0.5,), (2.0,), entropy_bps=35.0, nominal_bps=70.0)
        >>> use.lines()[1]
        ('codes used', '50 % of each codebook')
    """

    frames_per_second: float
    codebook_sizes: tuple[int, ...]
    usage: tuple[float, ...]
    perplexity: tuple[float, ...]
    entropy_bps: float
    nominal_bps: float
    shuffled_rise: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[tuple[str, str]]:
        """Which codebooks there are, and how much of them is used."""
        sizes = " + ".join(map(str, self.codebook_sizes))
        shares = [value / size for value, size in zip(self.perplexity, self.codebook_sizes, strict=True)]
        return [
            ("codes", f"{sizes} at {self.frames_per_second:.1f} frames per second"),
            ("codes used", _range([f"{100 * value:.0f}" for value in self.usage], " %")),
            ("perplexity", _range([f"{share:.2f}" for share in shares], " of its size")),
            ("rate", f"{self.nominal_bps:.0f} bits/s nominal, {self.entropy_bps:.0f} bits/s of entropy"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return asdict(self)


def _range(values: list[str], unit: str) -> str:
    """'50 % of each codebook', or one figure after the other where they differ."""
    if len(set(values)) == 1:
        return f"{values[0]}{unit} of each codebook" if unit == " %" else f"{values[0]}{unit}"
    return f"{', '.join(values)}{unit}"


class GaussianWatch:
    """Gathers what Gaussian latents carry, recording by recording."""

    directions: ClassVar = {KL: "", RATE: ""}
    dtype = np.float32

    def __init__(self, model: Any) -> None:
        """Takes the model, which gives `kl_per_dimension`."""
        self.model = model
        self.frames_per_second = model.sample_rate / model.latent_hop
        self.kl: list[np.ndarray] = []

    def add(self, batch: np.ndarray) -> dict[str, float]:
        """The figures of one recording, [1, samples, channels], by name."""
        self.kl.append(np.asarray(self.model.kl_per_dimension(batch), np.float32)[0])
        nats = kl_nats_per_frame(self.kl[-1])
        return {KL: nats, RATE: bits_per_second(nats, self.frames_per_second)}

    def use(self, latents: list[np.ndarray], shuffled_rise: Mapping[str, float]) -> LatentUse:
        """What all recordings together say; `latents` are the posterior's means of each."""
        kl = np.concatenate(self.kl).mean(axis=0, dtype=np.float64)
        return LatentUse(
            self.frames_per_second, tuple(kl.tolist()), active_units(np.concatenate(latents)), shuffled_rise
        )


class CodeWatch:
    """Gathers how codes are used; all of it follows from the codes themselves."""

    directions: ClassVar = {RATE: ""}
    dtype = np.int32

    def __init__(self, model: Any) -> None:
        """Takes the model, which has `codebook_sizes`."""
        self.sizes = tuple(model.codebook_sizes)
        self.frames_per_second = model.sample_rate / model.latent_hop
        self.nominal_bps = nominal_bits_per_second(self.sizes, self.frames_per_second)

    def add(self, batch: np.ndarray) -> dict[str, float]:
        """The figures of one recording: its rate, which is every recording's."""
        return {RATE: self.nominal_bps}

    def use(self, latents: list[np.ndarray], shuffled_rise: Mapping[str, float]) -> CodeUse:
        """What all recordings together say; `latents` are the codes of each, [frames, codebooks]."""
        histograms = code_histogram(np.concatenate(latents), self.sizes)
        return CodeUse(
            self.frames_per_second,
            self.sizes,
            usage=tuple(map(code_usage, histograms)),
            perplexity=tuple(map(perplexity, histograms)),
            entropy_bps=entropy_bits_per_second(histograms, self.frames_per_second),
            nominal_bps=self.nominal_bps,
            shuffled_rise=shuffled_rise,
        )


def watch_for(model: Any) -> GaussianWatch | CodeWatch:
    """The watch that fits a model: by whether its latents are codes."""
    return CodeWatch(model) if hasattr(model, "codebook_sizes") else GaussianWatch(model)
