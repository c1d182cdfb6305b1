"""What is reported of a model: how close its reconstructions are, what its latents carry, how it sounds and looks.

Everything here is numpy in float64 on whole recordings, and knows a model only by its interface.
"""

from keras_audio_vae.losses.rate import bits_per_second
from keras_audio_vae.metrics.baselines import BASELINES, Baseline, low_pass, silence
from keras_audio_vae.metrics.codes import (
    code_entropy_bits,
    code_histogram,
    code_usage,
    entropy_bits_per_second,
    nominal_bits_per_second,
    perplexity,
)
from keras_audio_vae.metrics.evaluation import EvaluatedModel, evaluate
from keras_audio_vae.metrics.latents import ACTIVE_VARIANCE, active_units, kl_nats_per_frame
from keras_audio_vae.metrics.listening import Pair, draw_spectrograms, reconstruct_pairs, spread, write_pairs
from keras_audio_vae.metrics.reconstruction import (
    MEASURES,
    Measure,
    cosine_similarity,
    log_spectral_distance,
    mel_distance,
    mse,
    multi_resolution_stft_distance,
    si_sdr,
)
from keras_audio_vae.metrics.report import Report
from keras_audio_vae.metrics.statistics import Summary, summarize
from keras_audio_vae.metrics.use import CodeUse, LatentUse, LevelUse

__all__ = [
    "ACTIVE_VARIANCE",
    "BASELINES",
    "MEASURES",
    "Baseline",
    "CodeUse",
    "EvaluatedModel",
    "LatentUse",
    "LevelUse",
    "Measure",
    "Pair",
    "Report",
    "Summary",
    "active_units",
    "bits_per_second",
    "code_entropy_bits",
    "code_histogram",
    "code_usage",
    "cosine_similarity",
    "draw_spectrograms",
    "entropy_bits_per_second",
    "evaluate",
    "kl_nats_per_frame",
    "log_spectral_distance",
    "low_pass",
    "mel_distance",
    "mse",
    "multi_resolution_stft_distance",
    "nominal_bits_per_second",
    "perplexity",
    "reconstruct_pairs",
    "si_sdr",
    "silence",
    "spread",
    "summarize",
    "write_pairs",
]
