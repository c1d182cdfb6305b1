"""What the latents of an evaluation are used for, by their kind: Gaussian vectors, two levels of them, or codes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from keras_audio_vae.losses.rate import bits_per_second

KL = "KL (nats per latent frame)"
RATE = "rate (bits/s)"

SHUFFLED = "shuffled latents"
"""Name of the row in which every recording is decoded from another recording's latents."""


def shuffled_row(level: str) -> str:
    """Name of the row in which one level alone is another recording's.

    Example:
        >>> shuffled_row("top")
        'shuffled top'
    """
    return f"shuffled {level}"


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

    @property
    def active_share(self) -> float:
        """Share of the dimensions that are active."""
        return self.active_units / self.dimensions

    @property
    def rate_bps(self) -> float:
        """Bits per second that the mean KL stands for."""
        return bits_per_second(sum(self.kl_per_dimension), self.frames_per_second)

    def lines(self) -> list[tuple[str, str]]:
        """How many dimensions there are, and how many are used."""
        share = f"{100 * self.active_share:.0f} %"
        return [
            ("latents", f"{self.dimensions} dimensions at {self.frames_per_second:.1f} frames per second"),
            ("active units", f"{self.active_units} of {self.dimensions} ({share})"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {"dimensions": self.dimensions, **asdict(self)}


@dataclass(frozen=True)
class LevelUse:
    """What each of several levels of Gaussian latents carries.

    Attributes:
        levels: By name, the slowest level first. `shuffled_rise` of a level is that with this level alone taken from
            another recording, and says too how much more the other level then costs. `active_units` are those whose
            innovation varies: what the level above tells is left out.
        shuffled_rise: See `Use`; with all levels of another recording.

    Example:
        >>> top, bottom = LatentUse(7.0, (2.0, 0.0), 1), LatentUse(35.0, (0.4, 0.4), 2, {"mel distance": 3.0})
        >>> use = LevelUse({"top": top, "bottom": bottom})
        >>> [round(share, 2) for share in use.shares.values()]
        [0.33, 0.67]
        >>> for title, text in use.lines():
        ...     print(f"{title or '...':8}{text}")
        top     1 of 2 dimensions active (50 %), 7.0 frames per second
        ...     1.00 nats per dimension, 20 bits/s, 33 % of the rate
        bottom  2 of 2 dimensions active (100 %), 35.0 frames per second
        ...     0.40 nats per dimension, 40 bits/s, 67 % of the rate
        ...     shuffled alone: mel distance x3.00
    """

    levels: Mapping[str, LatentUse]
    shuffled_rise: Mapping[str, float] = field(default_factory=dict)

    @property
    def frames_per_second(self) -> float:
        """Latent frames per second of the slowest level."""
        return next(iter(self.levels.values())).frames_per_second

    @property
    def shares(self) -> dict[str, float]:
        """Share of each level in the rate."""
        total = sum(level.rate_bps for level in self.levels.values())
        return {name: level.rate_bps / max(total, 1e-12) for name, level in self.levels.items()}

    def lines(self) -> list[tuple[str, str]]:
        """How much of each level is used, what it costs, and what is lost without it."""
        lines = []
        for name, level in self.levels.items():
            active = f"{level.active_units} of {level.dimensions} dimensions active ({100 * level.active_share:.0f} %)"
            nats = sum(level.kl_per_dimension) / level.dimensions
            share = f"{100 * self.shares[name]:.0f} % of the rate"
            lines += [
                (name, f"{active}, {level.frames_per_second:.1f} frames per second"),
                ("", f"{nats:.2f} nats per dimension, {level.rate_bps:.0f} bits/s, {share}"),
                *((title, f"shuffled alone: {text}") for title, text in rise_lines(level.shuffled_rise)),
            ]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        levels = {
            name: {**level.to_dict(), "rate_bps": level.rate_bps, "share": self.shares[name]}
            for name, level in self.levels.items()
        }
        return {"levels": levels, "shuffled_rise": dict(self.shuffled_rise)}


def rise_lines(shuffled_rise: Mapping[str, float]) -> list[tuple[str, str]]:
    """Lines that say how many times larger each figure is with another recording's latents; none of nothing.

    Example:
        >>> rise_lines({"mel distance": 2.5})
        [('', 'mel distance x2.50')]
    """
    return [("", f"{measure} x{rise:.2f}") for measure, rise in shuffled_rise.items()]


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


@dataclass(frozen=True)
class FeatureUse:
    """What there is to say of features.

    Attributes:
        frames_per_second: Frames per second.
        bins: Numbers in a frame.
        shuffled_rise: See `Use`.

    Example:
        >>> FeatureUse(50.0, 256).lines()
        [('features', '256 numbers at 50.0 frames per second')]
    """

    frames_per_second: float
    bins: int
    shuffled_rise: Mapping[str, float] = field(default_factory=dict)

    def lines(self) -> list[tuple[str, str]]:
        """How many numbers there are."""
        return [("features", f"{self.bins} numbers at {self.frames_per_second:.1f} frames per second")]

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return asdict(self)


def _range(values: list[str], unit: str) -> str:
    """'50 % of each codebook', or one figure after the other where they differ."""
    if len(set(values)) == 1:
        return f"{values[0]}{unit} of each codebook" if unit == " %" else f"{values[0]}{unit}"
    return f"{', '.join(values)}{unit}"
