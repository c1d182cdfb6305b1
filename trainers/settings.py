"""What `trainers.fit` can be told: one dataclass, of which the flags, the help and the saved `run.flags` are made.

The defaults are those of `configs/vae.flags` in kind; the shipped files say in full what was tuned. A name that the
library uses too (an argument of `kav.models.VAE` or of `kav.datasets.ChunkPipeline`) is the same name here.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self, cast

from trainers import flags
from trainers.flags import FlagSet, flag

FAMILIES = ("vae", "hvae", "vqvae", "vocoder")
MODEL_GROUPS = ("model", "codes", "loss")
MODEL_FIELDS_ELSEWHERE = ("sample_rate", "channels", "clipnorm", "seed")


@dataclasses.dataclass(frozen=True)
class FitSettings(FlagSet):
    """The settings of a training run that all families of models have; the fields' help texts say what each is.

    Raises:
        ValueError: A value is outside of what its flag allows.

    Example:
        >>> VAESettings(latent_dim=16).model_arguments()["latent_dim"]
        16
        >>> VAESettings(latent_dim=0)
        Traceback (most recent call last):
        ValueError: --latent_dim must be at least 1, not 0
    """

    GROUPS = ("data", "augmentation", "model", "codes", "loss", "training", "run")

    data: str = flag(
        "fluidnotes",
        "data",
        "fluidnotes (the embedded recordings), a folder, a glob, a file, a list of files or a record store",
        required=True,
    )
    sample_rate: int = flag(22050, "data", "rate that every recording is resampled to", unit="Hz", least=1)
    channels: int = flag(1, "data", "channels of the model; 1 mixes every recording down", least=1)
    chunk_samples: int = flag(22050, "data", "length of a training chunk", unit="samples", least=1)
    chunk_overlap: float = flag(0.5, "data", "share of a chunk that the next one repeats", least=0.0, below=1.0)
    normalization: str = flag(
        "none", "data", "levels each recording before use", choices=("none", "peak", "rms", "loudness")
    )
    min_chunk_dbfs: float = flag(
        0.0, "data", "chunks softer than this are left out; 0 = none is", unit="dB of full scale, RMS", most=0.0
    )
    keep_quiet: float = flag(0.0, "data", "share of those that is kept", least=0.0, most=1.0)
    cache_gb: float = flag(0.25, "data", "decoded audio up to this size is kept in memory", unit="GB", least=0.0)
    strict: bool = flag(False, "data", "a file that cannot be used, or not wholly, is an error")
    scan_cache: str = flag(
        "", "data", "folder that remembers what files hold; empty = ~/.cache/keras_audio_vae, 0 = none"
    )
    split_by: str = flag(
        "digest", "data", "digest of the names, folder, or a CSV file with the columns file and split", required=True
    )
    valid_fraction: float = flag(0.1, "data", "share of the recordings for validation", least=0.0, below=1.0)
    test_fraction: float = flag(0.1, "data", "share of the recordings for the final measures", least=0.0, below=1.0)

    random_offset: bool = flag(True, "augmentation", "chunks start at a random offset")
    gain_db: float = flag(0.0, "augmentation", "random gain within plus or minus this", unit="dB", least=0.0)
    flip_polarity: bool = flag(False, "augmentation", "turns every other chunk, at random, upside down")
    pitch_semitones: float = flag(
        0.0, "augmentation", "plays faster or slower by up to this", unit="semitones", least=0.0, most=24.0
    )
    lowpass_hz: tuple[int, ...] = flag(
        (), "augmentation", "range of a random low-pass, as in 2000,11000", unit="Hz", least=1
    )
    mangle_phase: bool = flag(False, "augmentation", "sends chunks through a random all-pass")
    noise_dbfs: tuple[int, ...] = flag(
        (), "augmentation", "range of added white noise, as in -80,-50", unit="dB of full scale"
    )

    model: str = flag(
        "vae", "model", "family of the model; --model=NAME --help lists the flags of that family", choices=FAMILIES
    )
    hop: int = flag(210, "model", "distance of feature frames", unit="samples", least=1)
    n_fft: int = flag(840, "model", "window of the STFT and mel front ends", unit="samples", least=2)
    mel_bands: int = flag(128, "model", "bands of the mel front end", least=1)

    epochs: int = flag(100, "training", "stops after so many epochs; 0 = no limit", least=0)
    steps_per_epoch: int = flag(0, "training", "steps that count as an epoch; 0 = one pass", unit="steps", least=0)
    max_minutes: float = flag(
        0.0, "training", "stops training after this time; 0 = no limit", unit="minutes", least=0.0
    )
    checkpoint_minutes: float = flag(1.0, "training", "time between two checkpoints", unit="minutes", least=0.0)
    batch_size: int = flag(16, "training", "chunks per step, over all replicas", unit="chunks", least=1)
    learning_rate: float = flag(0.002, "training", "peak learning rate of AdamW", above=0.0)
    weight_decay: float = flag(0.01, "training", "weight decay of AdamW", least=0.0)
    lr_warmup_steps: int = flag(100, "training", "steps to the peak learning rate, then cosine", unit="steps", least=0)
    clipnorm: float = flag(1.0, "training", "largest norm of the whole gradient; 0 = no clipping", least=0.0)
    ema_decay: float = flag(0.99, "training", "average of the weights, per step; 0 = none", least=0.0, below=1.0)
    replicas: int = flag(0, "training", "0 = every GPU or one CPU; N = that many GPUs or logical CPUs", least=0)
    mixed_precision: str = flag("float32", "training", "type of the computations", choices=("float32", "bfloat16"))
    jit_compile: bool = flag(False, "training", "compiles the training step by XLA")
    seed: int = flag(0, "training", "seed of weights, noise, order and augmentation", least=0, most=2**31 - 1)

    run_dir: str = flag(
        "runs/vae", "run", "folder of all that the run writes; a run found there resumes", required=True
    )
    fresh: bool = flag(False, "run", "deletes the run found in run_dir and starts over")
    listen: int = flag(8, "run", "test recordings that are written as WAV pairs", unit="recordings", least=0)
    tensorboard: bool = flag(True, "run", "writes losses, KL, audio and spectrograms for TensorBoard")

    def __post_init__(self) -> None:
        """Checks every value, and those that have to fit each other."""
        super().__post_init__()
        family = _SETTINGS[self.model]
        if not isinstance(self, family) and type(self) is not FitSettings:
            raise ValueError(f"--model={self.model} takes {family.__name__}, not {type(self).__name__}")
        if not self.epochs and not self.max_minutes:
            raise ValueError("--epochs and --max_minutes must not both be 0: the run would never end")
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("--valid_fraction and --test_fraction together must leave a share to train on")
        for name in ("lowpass_hz", "noise_dbfs"):
            limits = getattr(self, name)
            if limits and (len(limits) != 2 or limits[0] > limits[1]):
                raise ValueError(f"--{name} must be two numbers, the lower first, or nothing, not {limits}")

    @classmethod
    def resolve(cls, arguments: Sequence[str]) -> type[Self]:
        """The settings of the family that a command line names."""
        named = flags.peek(FitSettings, "model", arguments)
        return cast(type[Self], _SETTINGS.get(named, VAESettings))  # what names no family, parsing refuses

    def augmentation_arguments(self) -> dict[str, Any]:
        """Selects the arguments of `keras_audio_vae.datasets.Augmentation`."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["group"] == "augmentation"
        }

    def model_arguments(self) -> dict[str, Any]:
        """Selects the arguments of the model's constructor, as JSON values.

        Returns:
            Names and values of the groups that say what the model is, and of the few that others share with it.
        """
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["group"] in MODEL_GROUPS or field.name in MODEL_FIELDS_ELSEWHERE
        }
        del values["model"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class AutoencoderSettings(FitSettings):
    """The settings that all families of autoencoders have.

    Example:
        >>> VAESettings().model_arguments()["frontend"]
        'stft'
    """

    frontend: str = flag("stft", "model", "what turns samples into features", choices=("stft", "waveform", "mel"))
    synthesis: str = flag(
        "joint", "model", "how a waveform is searched for mel bands", choices=("joint", "griffin_lim")
    )
    widths: tuple[int, ...] = flag((128, 256), "model", "channels of each stage, encoder order", least=1)
    depths: tuple[int, ...] = flag((4, 2), "model", "residual blocks of each stage", least=0)
    strides: tuple[int, ...] = flag((3,), "model", "frame rate reductions between the stages", least=1)
    upsampling: str = flag("nearest", "model", "how the decoder raises the rate", choices=("nearest", "transposed"))
    latent_dim: int = flag(96, "model", "size of a latent vector", least=1)
    waveform_bands: int = flag(
        64,
        "model",
        "latents that begin as a lapped transform and carry phase, latent_dim / channels at most",
        unit="per channel",
        least=0,
    )
    vocoder: str = flag(
        "", "run", "run of a vocoder that makes the waveforms of frontend=mel; empty = synthesis does", unit="folder"
    )

    mse_weight: float = flag(0.0, "loss", "weight of the waveform's mean squared error", least=0.0)
    waveform_weight: float = flag(1.25, "loss", "weight of the waveform's relative error, |y - x| / |x|", least=0.0)
    stft_weight: float = flag(1.0, "loss", "weight of the multi-resolution STFT distance", least=0.0)
    mel_weight: float = flag(2.5, "loss", "weight of the mel distance", least=0.0)


@dataclasses.dataclass(frozen=True)
class VAESettings(AutoencoderSettings):
    """The settings of a `kav.models.VAE` and its run.

    Example:
        >>> VAESettings().model_arguments()["rate_control"]
        'target'
    """

    latent_pooling: str = flag(
        "sequence", "model", "a vector per latent frame or one per chunk", choices=("sequence", "global")
    )
    latent_norm: str = flag("none", "model", "batch norm of the posterior's mean (BN-VAE)", choices=("none", "batch"))
    latent_gamma: float = flag(0.6, "model", "scale of latent_norm=batch; KL >= gamma^2/2 per dimension", above=0.0)

    rate_control: str = flag(
        "target",
        "loss",
        "how the KL is weighted",
        choices=("target", "constant", "linear", "cyclical", "free_bits"),
    )
    beta: float = flag(
        0.001, "loss", "weight of the KL; where it begins with rate_control=target", unit="loss per nat", least=0.0
    )
    target_bps: float = flag(3000.0, "loss", "rate to hold with rate_control=target", unit="bits/s", least=0.0)
    warmup_steps: int = flag(1000, "loss", "linear: steps to full beta; cyclical: period", unit="steps", least=1)
    free_bits: float = flag(0.1, "loss", "KL per dimension that costs nothing", unit="nats", least=0.0)
    mean_share: float = flag(
        0.25, "loss", "share of the chunks decoded from the posterior's mean, as in use", least=0.0, most=1.0
    )

    def model_arguments(self) -> dict[str, Any]:
        """Selects the arguments of `VAE`; one of pooled latents has to know how long a chunk is."""
        return {**super().model_arguments(), "chunk_samples": self.chunk_samples}


@dataclasses.dataclass(frozen=True)
class HVAESettings(AutoencoderSettings):
    """The settings of a `kav.models.HVAE` and its run.

    Example:
        >>> HVAESettings().model_arguments()["top_stride"]
        5
    """

    model: str = flag("hvae", "model", "family of the model", choices=FAMILIES)
    top_dim: int = flag(32, "model", "size of a latent vector of the top level", least=1)
    top_stride: int = flag(5, "model", "latent frames of the bottom level per frame of the top", least=1)
    top_width: int = flag(128, "model", "channels of the layers between the levels", least=1)
    top_depth: int = flag(2, "model", "residual blocks of either way between the levels", least=0)
    top_prior: str = flag(
        "normal", "model", "N(0, I), or a mixture of the posteriors of learnt pseudo-inputs", choices=("normal", "vamp")
    )
    vamp_components: int = flag(64, "model", "pseudo-inputs of top_prior=vamp", least=1)

    coarse_weight: float = flag(
        0.5, "loss", "weight of a coarse spectrogram read off the top alone; 0 = no such term", least=0.0
    )
    coarse_bands: int = flag(32, "loss", "mel bands of that spectrogram", least=1)
    rate_control: str = flag(
        "target",
        "loss",
        "how the KL of either level is weighted",
        choices=("target", "constant", "linear", "cyclical", "free_bits"),
    )
    beta: float = flag(
        0.001, "loss", "weight of the bottom's KL; where it begins with rate_control=target", unit="loss/nat", least=0.0
    )
    target_bps: float = flag(2600.0, "loss", "bottom's rate to hold, rate_control=target", unit="bits/s", least=0.0)
    free_bits: float = flag(0.1, "loss", "KL per dimension of the bottom that costs nothing", unit="nats", least=0.0)
    top_beta: float = flag(
        0.0002,
        "loss",
        "weight of the top's KL; beta / top_stride makes a bit cost the same",
        unit="loss/nat",
        least=0.0,
    )
    top_target_bps: float = flag(300.0, "loss", "top's rate to hold, rate_control=target", unit="bits/s", least=0.0)
    top_free_bits: float = flag(0.1, "loss", "KL per dimension of the top that costs nothing", unit="nats", least=0.0)
    warmup_steps: int = flag(
        1000, "loss", "linear: steps to full beta; cyclical: period; and see warmup_order", unit="steps", least=1
    )
    warmup_order: str = flag(
        "together",
        "loss",
        "the level whose KL is charged first; the other's is free for warmup_steps",
        choices=("together", "top", "bottom"),
    )
    mean_share: float = flag(
        0.25, "loss", "share of the chunks decoded from the posteriors' means, as in use", least=0.0, most=1.0
    )


@dataclasses.dataclass(frozen=True)
class VQVAESettings(AutoencoderSettings):
    """The settings of a `kav.models.VQVAE` and its run.

    Example:
        >>> VQVAESettings().model_arguments()["codebook_size"]
        [32]
    """

    model: str = flag("vqvae", "model", "family of the model", choices=FAMILIES)
    quantizer: str = flag("residual", "codes", "learnt codebooks or fixed levels", choices=("residual", "scalar"))
    num_codebooks: int = flag(9, "codes", "codes of a frame", least=1)
    codebook_size: tuple[int, ...] = flag(
        (32,), "codes", "codes of each codebook, the last number for all that follow", unit="residual", least=2
    )
    levels: tuple[int, ...] = flag((8, 6, 5), "codes", "levels of each dimension of a code", unit="scalar", least=2)
    code_dim: int = flag(0, "codes", "dimensions in which codes are compared; 0 = latent_dim", least=0)
    normalize_codes: bool = flag(False, "codes", "compares codes by their direction alone")
    standardize_encodings: bool = flag(
        False, "codes", "brings vectors to variance 1 before they are quantised; needs waveform_bands=0"
    )
    codebook_update: str = flag("ema", "codes", "how codes follow what they stand for", choices=("ema", "gradient"))
    kmeans_init: bool = flag(False, "codes", "places the codes by k-means of the first batches")
    restart_threshold: float = flag(
        0.0, "codes", "share of its even use below which a code is placed anew; 0 = never", least=0.0, below=1.0
    )
    conscience: float = flag(
        4.0, "codes", "handicap of codes that are used more than others; 0 = the nearest code is chosen", least=0.0
    )
    code_gradient: str = flag(
        "straight_through", "codes", "how the gradient passes the codes", choices=("straight_through", "rotation")
    )
    quantizer_dropout: float = flag(
        0.0, "codes", "share of the chunks that use only the first few codebooks", least=0.0, most=1.0
    )
    evenness_weight: float = flag(0.0, "loss", "weight of what spreads the use of the codes", least=0.0)
    commitment: str = flag(
        "adaptive",
        "loss",
        "whether the commitment's weight follows the encodings' variance",
        choices=("adaptive", "constant"),
    )
    commitment_weight: float = flag(0.25, "loss", "weight of what keeps the encoder near its codes", least=0.0)


@dataclasses.dataclass(frozen=True)
class VocoderSettings(FitSettings):
    """The settings of a `kav.models.Vocoder` and its run.

    Example:
        >>> VocoderSettings().model_arguments()["iterations"]
        14
    """

    model: str = flag("vocoder", "model", "family of the model", choices=FAMILIES)
    hop: int = flag(441, "model", "distance of mel frames", unit="samples", least=1)
    n_fft: int = flag(1764, "model", "window of the mel bands and of the magnitudes", unit="samples", least=2)
    mel_bands: int = flag(256, "model", "mel bands", least=1)
    iterations: int = flag(14, "model", "of the search for phases", least=0)
    width: int = flag(256, "model", "channels of the residual blocks", least=1)
    depth: int = flag(4, "model", "residual blocks", least=0)

    convergence_weight: float = flag(1.0, "loss", "weight of the relative error of the magnitudes", least=0.0)
    log_magnitude_weight: float = flag(1.0, "loss", "weight of the error of their logarithms", least=0.0)


_SETTINGS = {"vae": VAESettings, "hvae": HVAESettings, "vqvae": VQVAESettings, "vocoder": VocoderSettings}
