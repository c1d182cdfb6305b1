import numpy as np
import pytest
import tensorflow as tf

import keras_audio_vae as kav
from keras_audio_vae.models import blockwise


@pytest.fixture(scope="module")
def model():
    return kav.VAE(widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK_SECONDS", 1.0)


@pytest.mark.parametrize("samples", [1, 630, 22050, 22051, 70000])
def test_blocks_give_what_one_pass_gives(model, samples):
    sound = 0.3 * tf.random.stateless_normal([1, samples, 1], [0, 1])

    def read(start, count):
        assert start >= 0 and start + count <= samples
        return sound[:, start : start + count]

    latents = tf.concat(list(kav.models.encode_blocks(model, read, samples)), axis=1)
    np.testing.assert_allclose(latents, model.encode(sound), atol=1e-4)
    whole = model.decode(latents, samples)
    decoded = tf.concat(list(kav.models.decode_blocks(model, latents, samples)), axis=1)
    np.testing.assert_allclose(decoded, whole, atol=1e-3 * np.abs(whole).max())
    reconstructed = tf.concat(list(kav.models.reconstruct_blocks(model, read, samples)), axis=1)
    once = model.reconstruct_at_once(sound).numpy()
    np.testing.assert_allclose(reconstructed, once, atol=1e-3 * np.abs(once).max())
