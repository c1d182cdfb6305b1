import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.layers import Decoder, Encoder, ResidualBlock, Upsample


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(1, 20),
    stride=st.sampled_from([1, 2, 3, 5, 7]),
    method=st.sampled_from(["nearest", "transposed"]),
)
def test_upsampling_multiplies_the_number_of_frames_exactly(frames, stride, method):
    assert Upsample(4, stride, method)(noise(2, frames, 3)).shape == (2, frames * stride, 4)


@pytest.mark.parametrize("stride", [2, 3, 5])
def test_every_frame_of_transposed_upsampling_is_covered_alike(stride):
    layer = Upsample(1, stride, "transposed")
    layer.build((None, None, 1))
    layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    out = layer(np.ones((1, 8, 1), np.float32)).numpy()[0, stride:-stride, 0]
    np.testing.assert_array_equal(out, np.full_like(out, out[0]))


@pytest.mark.parametrize("frames", [1, 2, 35])
def test_residual_block_keeps_the_shape_and_starts_near_the_identity(frames):
    block, inputs = ResidualBlock(6), noise(2, frames, 6)
    out = block(inputs).numpy()
    assert out.shape == inputs.shape
    assert 0 < np.abs(out - inputs).max() < 0.2 * np.abs(inputs).max()


def test_residual_block_is_what_its_docstring_says():
    block, inputs = ResidualBlock(6), noise(2, 9, 6)
    out = block(inputs)
    convolved = tf.nn.silu(tf.nn.conv1d(inputs, block.convolution.kernel.value, 1, "SAME"))
    np.testing.assert_allclose(out, inputs + 0.1 * block.projection(convolved), atol=1e-5)


@pytest.mark.parametrize("strides", [[3], [2, 5]])
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_decoder_mirrors_encoder_exactly(strides, upsampling):
    widths, depths = [4, 6, 8][: len(strides) + 1], [1, 0, 2][: len(strides) + 1]
    features = noise(2, 30, 7)
    hidden = Encoder(widths, depths, strides)(features)
    assert hidden.shape == (2, 30 // np.prod(strides), widths[-1])
    assert Decoder(widths, depths, strides, upsampling)(hidden, features).shape == (2, 30, widths[0])


@pytest.mark.parametrize("stack", [Encoder, Decoder])
@pytest.mark.parametrize("lists", [([4, 8], [1], [3]), ([4, 8], [1, 1], []), ([4], [1], [3])])
def test_lists_that_describe_other_stages_are_refused(stack, lists):
    with pytest.raises(ValueError, match=r"widths .* depths .* strides"):
        stack(*lists)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="upsampling must be 'nearest' or 'transposed', not 'linear'"):
        Upsample(4, 2, "linear")
