import numpy as np
import pytest

from keras_audio_vae.frontends.channels import bins_to_channels, channels_to_bins, from_mono_batch, to_mono_batch


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_folding_keeps_every_number_and_can_be_undone(channels):
    waveform = np.random.default_rng(0).normal(size=(3, 7, channels)).astype(np.float32)
    rows = to_mono_batch(waveform)
    for row in range(3):
        for channel in range(channels):
            np.testing.assert_array_equal(rows[row * channels + channel], waveform[row, :, channel])
    np.testing.assert_array_equal(from_mono_batch(rows, channels), waveform)

    features = np.random.default_rng(1).normal(size=(3 * channels, 4, 6)).astype(np.float32)
    side_by_side = channels_to_bins(features, channels)
    assert side_by_side.shape == (3, 4, channels * 6)
    np.testing.assert_array_equal(side_by_side[1, :, -6:], features[2 * channels - 1])
    np.testing.assert_array_equal(bins_to_channels(side_by_side, channels), features)
