import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.layers import AudioNetwork

SMALL = {"hop": 10, "n_fft": 40, "widths": [4, 6], "depths": [1, 1], "strides": [3]}


def noise(*shape, seed=0):
    return 0.3 * np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("frontend", ["stft", "waveform"])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lengths_are_exact(frontend, upsampling, channels):
    network = AudioNetwork(channels, frontend, upsampling=upsampling, waveform_bands=4, **SMALL)
    for frames in (1, 2, 7):
        encoding = network.encode(noise(2, 30 * frames, channels))
        assert encoding.hidden.shape == (2, frames, 6) and encoding.skip.shape == (2, frames, 4 * channels)
        assert network.decode(noise(2, frames, 4 * channels + 3)).shape == (2, 30 * frames, channels)


@pytest.mark.parametrize("frontend", ["stft", "waveform"])
def test_at_the_start_the_linear_path_carries_the_waveform(frontend):
    network = AudioNetwork(2, frontend, waveform_bands=30, **SMALL)
    waveform = noise(2, 300, 2)
    np.testing.assert_allclose(network.decode(network.encode(waveform).skip), waveform, atol=2e-3)


def test_pooled_latents_are_means_over_their_chunk():
    network = AudioNetwork(waveform_bands=0, pooled_samples=90, **SMALL)
    waveform = noise(2, 270, 1)
    hidden = network.encoder(network.frontend.features(waveform))
    expected = tf.reduce_mean(tf.reshape(hidden, [2, 3, 3, 6]), axis=2)
    encoding = network.encode(waveform)
    np.testing.assert_allclose(encoding.hidden, expected, atol=1e-6)
    assert encoding.skip is None and network.latent_hop == 90
    assert network.decode(noise(2, 3, 5)).shape == (2, 270, 1)


def test_frames_of_a_pooled_chunk_are_told_apart():
    network = AudioNetwork(waveform_bands=0, pooled_samples=90, **SMALL)
    waveform = network.decode(np.ones((1, 1, 5), np.float32)).numpy()[0, :, 0]
    assert not np.allclose(waveform[30:60], waveform[:30], atol=1e-5)


@pytest.mark.parametrize("frontend", ["stft", "waveform"])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("pooled", [0, 90])
def test_nothing_outside_the_context_changes_a_reconstruction(frontend, upsampling, pooled):
    bands = 0 if pooled else 4
    network = AudioNetwork(1, frontend, upsampling=upsampling, waveform_bands=bands, pooled_samples=pooled, **SMALL)

    def reconstruct(waveform):
        encoding = network.encode(waveform)
        return network.decode(encoding.hidden if pooled else tf.concat([encoding.skip, encoding.hidden], -1)).numpy()

    hop, context = network.latent_hop, network.context_frames
    reconstruct(noise(1, hop, 1))
    network.head.set_weights([0.3 * noise(*weight.shape, seed=2) for weight in network.head.get_weights()])
    near = noise(1, hop * (2 * context + 1), 1)
    far = np.concatenate([noise(1, 4 * hop, 1, seed=3), near, noise(1, 4 * hop, 1, seed=4)], axis=1)
    alone = reconstruct(near)[:, context * hop : (context + 1) * hop]
    surrounded = reconstruct(far)[:, (context + 4) * hop : (context + 5) * hop]
    np.testing.assert_allclose(surrounded, alone, atol=1e-3 * np.abs(alone).max())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frontend": "mels"}, "frontend must be one of stft, waveform, mel, not 'mels'"),
        ({"pooled_samples": 100, "waveform_bands": 0}, r"chunk_samples \(100\) must be a multiple of hop \* strides"),
        ({"pooled_samples": 90, "waveform_bands": 4}, "waveform_bands must be 0 with pooled latents"),
        ({"waveform_bands": 31}, "1 to 30 bands, not 31"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        AudioNetwork(**{"waveform_bands": 4, **SMALL, **wrong})
