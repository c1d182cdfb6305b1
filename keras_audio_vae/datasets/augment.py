"""Augmentation: what training changes at random, each a pure function of (seed, step, row of the global batch)."""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# One stream of random numbers for each use, so that they do not follow each other.
_OFFSET, _SPEED, _GAIN, _POLARITY, _LOWPASS, _ANGLE, _NOISE, _NOISE_LEVEL = range(10, 18)
_ALL_PASS_RADIUS = 0.99  # of the poles: the phase turns within some hundred Hz, and the filter rings for some 20 ms
_ALL_PASS_HZ = (20.0, 2000.0)
_FILTER_TAIL = 2048  # samples after which a filter's ringing is below -80 dB
_LOWPASS_ORDER = 4


@dataclass(frozen=True)
class Augmentation:
    """What is changed, and how far. What would change the task is off by default.

    Attributes:
        random_offset: move each chunk by up to half the distance between chunks, within its recording.
        gain_db: each chunk is made louder or softer by up to this, uniform in dB.
        flip_polarity: turn every other chunk, at random, upside down; it sounds the same.
        pitch_semitones: play each chunk faster or slower by up to this, uniform in semitones; pitch, formants and
            speed change together.
        lowpass_hz: (lowest, highest) cutoff of a low-pass of fourth order, uniform in octaves; () for none.
        mangle_phase: send each chunk through an all-pass at a random frequency from 20 to 2,000 Hz: another waveform
            that sounds the same.
        noise_dbfs: (lowest, highest) level of white noise that is added, uniform in dB; () for none.

    Raises:
        ValueError: a range is not (lowest, highest), or a value is out of the possible.

    Example:
        >>> Augmentation(pitch_semitones=12.0).source_samples(1000)
        2000
        >>> Augmentation(noise_dbfs=(-30.0, -60.0))
        Traceback (most recent call last):
        ...
        ValueError: noise_dbfs must be two numbers, the lower first, or nothing; got (-30.0, -60.0)

    Reference:
        The all-pass is that of RAVE (https://arxiv.org/abs/2111.05011), which calls it phase mangling.
    """

    random_offset: bool = True
    gain_db: float = 0.0
    flip_polarity: bool = False
    pitch_semitones: float = 0.0
    lowpass_hz: tuple[float, ...] = ()
    mangle_phase: bool = False
    noise_dbfs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("lowpass_hz", "noise_dbfs"):
            limits = getattr(self, name)
            if limits and (len(limits) != 2 or limits[0] > limits[1]):
                raise ValueError(f"{name} must be two numbers, the lower first, or nothing; got {tuple(limits)}")
        if self.lowpass_hz and self.lowpass_hz[0] <= 0:
            raise ValueError(f"lowpass_hz must be greater than 0; got {tuple(self.lowpass_hz)}")
        if self.gain_db < 0 or not 0 <= self.pitch_semitones <= 24:
            raise ValueError(
                f"gain_db must be at least 0 and pitch_semitones 0 to 24; got {self.gain_db} and {self.pitch_semitones}"
            )

    def source_samples(self, chunk_samples: int) -> int:
        """How many samples of a recording one chunk can need."""
        return math.ceil(chunk_samples * 2 ** (self.pitch_semitones / 12))

    @property
    def fills_padding(self) -> bool:
        """Whether `change` can put sound where there was none."""
        return bool(self.noise_dbfs or self.lowpass_hz or self.mangle_phase)

    def offsets(self, seed: int, step: tf.Tensor, rows: int, reach: int) -> tf.Tensor:
        """How far each chunk of a batch is moved in time.

        Args:
            seed: of the run.
            step: int64 [].
            rows: of the global batch.
            reach: width of the range, in samples.

        Returns:
            int64 [rows], uniform from -(reach // 2) to just below reach - reach // 2.
        """
        seeds = _stream(seed, _OFFSET, step)
        return tf.random.stateless_uniform([rows], seeds, -(reach // 2), reach - reach // 2, tf.int64)

    def speeds(self, seed: int, step: tf.Tensor, rows: int) -> tf.Tensor:
        """How much faster each chunk of a batch is played: float32 [rows], ones without `pitch_semitones`."""
        if not self.pitch_semitones:
            return tf.ones([rows])
        semitones = _uniform(seed, _SPEED, step, [rows], -self.pitch_semitones, self.pitch_semitones)
        return 2.0 ** (semitones / 12.0)

    def change(self, waveform: tf.Tensor, seed: int, step: tf.Tensor, sample_rate: int) -> tf.Tensor:
        """Filters, gain, polarity and noise.

        Args:
            waveform: float32 [rows, samples, channels].
            seed: of the run.
            step: int64 [].
            sample_rate: Hz.

        Returns:
            float32 of the same shape.
        """
        rows = waveform.shape[0]
        if self.lowpass_hz or self.mangle_phase:
            waveform = self._filter(waveform, seed, step, sample_rate)
        if self.gain_db:
            decibels = _uniform(seed, _GAIN, step, [rows, 1, 1], -self.gain_db, self.gain_db)
            waveform *= _amplitude(decibels)
        if self.flip_polarity:
            waveform *= tf.sign(_uniform(seed, _POLARITY, step, [rows, 1, 1], -1.0, 1.0))
        if self.noise_dbfs:
            level = _amplitude(_uniform(seed, _NOISE_LEVEL, step, [rows, 1, 1], *self.noise_dbfs))
            waveform += level * tf.random.stateless_normal(tf.shape(waveform), _stream(seed, _NOISE, step))
        return waveform

    def _filter(self, waveform: tf.Tensor, seed: int, step: tf.Tensor, sample_rate: int) -> tf.Tensor:
        """The low-pass and the all-pass, as one product of spectra."""
        rows, samples = waveform.shape[0], waveform.shape[1]
        size = 2 ** math.ceil(math.log2(samples + 2 * _FILTER_TAIL))
        frequency = tf.constant(np.fft.rfftfreq(size, 1 / sample_rate), tf.float32)
        response = tf.ones([rows, len(frequency)], tf.complex64)
        if self.lowpass_hz:
            octaves = [math.log2(hertz) for hertz in self.lowpass_hz]
            cutoff = 2.0 ** _uniform(seed, _LOWPASS, step, [rows, 1], *octaves)
            gain = tf.math.rsqrt(1.0 + (frequency / cutoff) ** (2 * _LOWPASS_ORDER))
            response *= tf.cast(gain, tf.complex64)
        if self.mangle_phase:
            octaves = [math.log2(hertz) for hertz in _ALL_PASS_HZ]
            centre = 2.0 ** _uniform(seed, _ANGLE, step, [rows, 1], *octaves)
            response *= _all_pass(frequency / sample_rate, centre / sample_rate)
        spectrum = tf.signal.rfft(tf.transpose(waveform, [0, 2, 1]), [size]) * response[:, tf.newaxis]
        return tf.transpose(tf.signal.irfft(spectrum, [size])[..., :samples], [0, 2, 1])


def _all_pass(frequency: tf.Tensor, centre: tf.Tensor) -> tf.Tensor:
    """The response of a second-order all-pass; frequencies in cycles per sample: complex64 [rows, frequencies]."""
    radius = _ALL_PASS_RADIUS
    delay = tf.exp(tf.complex(0.0, -2.0 * math.pi * frequency))
    turn = tf.cast(2.0 * radius * tf.cos(2.0 * math.pi * centre), tf.complex64)
    return (radius**2 - turn * delay + delay**2) / (1.0 - turn * delay + radius**2 * delay**2)


def _stream(seed: int, use: int, step: tf.Tensor) -> tf.Tensor:
    """The stateless seed of one use at one step: int64 [2]."""
    return tf.random.experimental.stateless_fold_in(tf.constant([seed % 2**63, use], tf.int64), step)


def _uniform(seed: int, use: int, step: tf.Tensor, shape: list[int], low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, _stream(seed, use, step), low, high)


def _amplitude(decibels: tf.Tensor) -> tf.Tensor:
    return 10.0 ** (decibels / 20.0)
