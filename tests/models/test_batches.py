import numpy as np
import pytest

from keras_audio_vae.models.batches import as_batch


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: {"waveform": x}, lambda x: ({"waveform": x},)])
def test_without_a_mask_everything_is_sound(wrap):
    batch = as_batch(wrap(np.full((2, 5, 1), 0.5)), channels=1)
    assert batch.waveform.dtype == batch.mask.dtype == np.float32
    np.testing.assert_array_equal(batch.waveform, np.full((2, 5, 1), 0.5))
    np.testing.assert_array_equal(batch.mask, np.ones((2, 5)))


def test_a_mask_comes_along():
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(as_batch({"waveform": np.ones((2, 3, 2)), "mask": mask}, channels=2).mask, mask)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 2)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"\[batch, samples, 1 channels\]; this one has shape"):
        as_batch(np.ones(shape), channels=1)


def test_integer_samples_are_refused_with_the_scale_that_mends_them():
    with pytest.raises(ValueError, match=r"int16: divide 16-bit samples by 32768"):
        as_batch(np.ones((2, 3, 1), np.int16), channels=1)
