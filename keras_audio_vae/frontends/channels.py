"""Channels folded into the batch for transforms of mono signals, and folded into the features for networks."""

import tensorflow as tf

from keras_audio_vae.frontends.signal import length_of


def to_mono_batch(waveform: tf.Tensor) -> tf.Tensor:
    """Makes each channel a row: float [batch, samples, channels] -> [batch * channels, samples].

    Example:
        >>> to_mono_batch(tf.zeros([4, 100, 2])).shape
        TensorShape([8, 100])
    """
    if waveform.shape[-1] == 1:
        return waveform[..., 0]
    return tf.reshape(tf.transpose(waveform, [0, 2, 1]), [-1, length_of(waveform, 1)])


def from_mono_batch(signals: tf.Tensor, channels: int) -> tf.Tensor:
    """Undoes `to_mono_batch`: float [batch * channels, samples] -> [batch, samples, channels].

    Example:
        >>> from_mono_batch(tf.zeros([8, 100]), channels=2).shape
        TensorShape([4, 100, 2])
    """
    if channels == 1:
        return signals[..., tf.newaxis]
    return tf.transpose(tf.reshape(signals, [-1, channels, length_of(signals, 1)]), [0, 2, 1])


def channels_to_bins(features: tf.Tensor, channels: int) -> tf.Tensor:
    """Puts the channels' features side by side.

    Args:
        features: float [batch * channels, frames, bins].
        channels: Channels of the waveform.

    Returns:
        float [batch, frames, channels * bins].

    Example:
        >>> channels_to_bins(tf.zeros([8, 35, 10]), channels=2).shape
        TensorShape([4, 35, 20])
    """
    if channels == 1:
        return features
    frames, bins = length_of(features, 1), features.shape[-1]
    apart = tf.transpose(tf.reshape(features, [-1, channels, frames, bins]), [0, 2, 1, 3])
    return tf.reshape(apart, [-1, frames, channels * bins])


def bins_to_channels(features: tf.Tensor, channels: int) -> tf.Tensor:
    """Undoes `channels_to_bins`: float [batch, frames, channels * bins] -> [batch * channels, frames, bins].

    Example:
        >>> bins_to_channels(tf.zeros([4, 35, 20]), channels=2).shape
        TensorShape([8, 35, 10])
    """
    if channels == 1:
        return features
    frames, bins = length_of(features, 1), features.shape[-1] // channels
    apart = tf.transpose(tf.reshape(features, [-1, frames, channels, bins]), [0, 2, 1, 3])
    return tf.reshape(apart, [-1, frames, bins])
