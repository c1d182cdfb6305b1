"""What is gathered of the latents while recordings are evaluated, by the kind of latents."""

from collections.abc import Mapping
from typing import Any, ClassVar

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
from keras_audio_vae.metrics.use import KL, RATE, SHUFFLED, CodeUse, FeatureUse, LatentUse, LevelUse, shuffled_row

Rises = Mapping[str, Mapping[str, float]]
"""By the name of a row of other latents, the rise of every distance, see `Use`."""


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

    def add_shuffled(self, batch: np.ndarray, others: Any) -> dict[tuple[str, str], float]:
        """Nothing more to say of a recording with another's latents."""
        return {}

    def use(self, latents: list[np.ndarray], rises: Rises) -> LatentUse:
        """What all recordings together say; `latents` are the posterior's means of each."""
        kl = np.concatenate(self.kl).mean(axis=0, dtype=np.float64)
        return LatentUse(
            self.frames_per_second, tuple(kl.tolist()), active_units(np.concatenate(latents)), rises.get(SHUFFLED, {})
        )


class LevelWatch:
    """Gathers what several levels of Gaussian latents carry, recording by recording."""

    dtype = np.float32

    def __init__(self, model: Any) -> None:
        """Takes the model, which gives `kl_per_dimension` and `innovations` of each level."""
        self.model = model
        self.frames_per_second = model.frames_per_second._asdict()
        *above, self.lowest = self.frames_per_second
        self.above = above[-1]
        self.rates = {name: f"rate of the {name} (bits/s)" for name in self.frames_per_second}
        self.kl_of_lowest = f"KL of the {self.lowest} (nats per frame)"
        self.directions = {RATE: "", **dict.fromkeys(self.rates.values(), ""), self.kl_of_lowest: ""}
        self.kl: dict[str, list[np.ndarray]] = {name: [] for name in self.frames_per_second}
        self.innovations: dict[str, list[np.ndarray]] = {name: [] for name in self.frames_per_second}

    def add(self, batch: np.ndarray) -> dict[str, float]:
        """The figures of one recording, [1, samples, channels], by name."""
        kl, innovations = self.model.kl_per_dimension(batch)._asdict(), self.model.innovations(batch)._asdict()
        rates = {}
        for name, frames_per_second in self.frames_per_second.items():
            self.kl[name].append(np.asarray(kl[name], np.float32)[0])
            self.innovations[name].append(np.asarray(innovations[name], np.float32)[0])
            rates[name] = bits_per_second(kl_nats_per_frame(kl[name]), frames_per_second)
        of_lowest = {self.kl_of_lowest: kl_nats_per_frame(kl[self.lowest])}
        return {RATE: sum(rates.values()), **{self.rates[name]: rate for name, rate in rates.items()}, **of_lowest}

    def add_shuffled(self, batch: np.ndarray, others: Any) -> dict[tuple[str, str], float]:
        """What the lowest level costs where the one above is another recording's, by row and name."""
        kl = self.model.kl_per_dimension(batch, top=getattr(others, self.above)[np.newaxis])
        return {(shuffled_row(self.above), self.kl_of_lowest): kl_nats_per_frame(getattr(kl, self.lowest))}

    def use(self, latents: list[Any], rises: Rises) -> LevelUse:
        """What all recordings together say."""
        levels = {
            name: LatentUse(
                frames_per_second,
                tuple(np.concatenate(self.kl[name]).mean(axis=0, dtype=np.float64).tolist()),
                active_units(np.concatenate(self.innovations[name])),
                rises.get(shuffled_row(name), {}),
            )
            for name, frames_per_second in self.frames_per_second.items()
        }
        return LevelUse(levels, rises.get(SHUFFLED, {}))


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

    def add_shuffled(self, batch: np.ndarray, others: Any) -> dict[tuple[str, str], float]:
        """Nothing more to say of a recording with another's latents."""
        return {}

    def use(self, latents: list[np.ndarray], rises: Rises) -> CodeUse:
        """What all recordings together say; `latents` are the codes of each, [frames, codebooks]."""
        histograms = code_histogram(np.concatenate(latents), self.sizes)
        return CodeUse(
            self.frames_per_second,
            self.sizes,
            usage=tuple(map(code_usage, histograms)),
            perplexity=tuple(map(perplexity, histograms)),
            entropy_bps=entropy_bits_per_second(histograms, self.frames_per_second),
            nominal_bps=self.nominal_bps,
            shuffled_rise=rises.get(SHUFFLED, {}),
        )


class FeatureWatch:
    """For a model whose latents are features of the sound, which nothing has learnt: a vocoder."""

    directions: ClassVar[dict[str, str]] = {}
    dtype = np.float32

    def __init__(self, model: Any) -> None:
        """Takes the model."""
        self.frames_per_second = model.sample_rate / model.latent_hop

    def add(self, batch: np.ndarray) -> dict[str, float]:
        """Nothing to say of a recording."""
        return {}

    def add_shuffled(self, batch: np.ndarray, others: Any) -> dict[tuple[str, str], float]:
        """Nothing to say of a recording with another's latents."""
        return {}

    def use(self, latents: list[np.ndarray], rises: Rises) -> FeatureUse:
        """How much worse the sound is with another recording's features."""
        return FeatureUse(self.frames_per_second, latents[0].shape[-1], rises.get(SHUFFLED, {}))


def watch_for(model: Any) -> GaussianWatch | LevelWatch | CodeWatch | FeatureWatch:
    """The watch that fits a model: by whether its latents are codes, of several levels, of one, or mere features."""
    if hasattr(model, "codebook_sizes"):
        return CodeWatch(model)
    if not hasattr(model, "kl_per_dimension"):
        return FeatureWatch(model)
    return LevelWatch(model) if hasattr(model, "innovations") else GaussianWatch(model)
