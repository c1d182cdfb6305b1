"""The parts that encoders and decoders are stacked from."""

import keras


@keras.saving.register_keras_serializable("keras_audio_vae")
class ResidualBlock(keras.layers.Layer):
    """x + scale * dense(silu(convolution(x))), with a learnt scale per channel that starts at 0.1.

    There is no normalisation: the small scale keeps a deep stack near the identity at the start, where the signal (and
    the phase that it carries) passes unchanged, and a sound's level is not divided away. It also trained faster than
    with layer normalisation (benchmarks/RESULTS.md).

    Args:
        width: Channels in and out.
        kernel_size: Frames that the convolution sees; odd.
        **kwargs: Those of `keras.layers.Layer`.

    Example:
        >>> ResidualBlock(width=8)(keras.ops.ones([2, 35, 8])).shape
        TensorShape([2, 35, 8])

    Reference:
        Touvron et al.: Going deeper with Image Transformers, ICCV 2021 (LayerScale).
    """

    def __init__(self, width: int, kernel_size: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width, self.kernel_size = width, kernel_size
        self.convolution = keras.layers.Conv1D(
            width, kernel_size, padding="same", activation="silu", dtype=self.dtype_policy
        )
        self.projection = keras.layers.Dense(width, dtype=self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for inputs [batch, frames, width]."""
        self.convolution.build(input_shape)
        self.projection.build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(self.width,), initializer=keras.initializers.Constant(0.1))

    def call(self, inputs):
        """[batch, frames, width] -> the same shape."""
        return inputs + self.scale * self.projection(self.convolution(inputs))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "width": self.width, "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("keras_audio_vae")
class Upsample(keras.layers.Layer):
    """Raises the frame rate by an integer factor, exactly: [batch, frames, in] -> [batch, frames * stride, width].

    Args:
        width: Channels out.
        stride: Frames out per frame in.
        method: "nearest" repeats each frame and convolves (best in listening tests); "transposed" is a transposed
            convolution whose kernel is twice the stride, so that every output frame is covered by the same number of
            taps.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If `method` is neither.

    Example:
        >>> Upsample(width=8, stride=3)(keras.ops.ones([2, 35, 16])).shape
        TensorShape([2, 105, 8])

    Reference:
        Pons et al.: Upsampling artifacts in neural audio synthesis, ICASSP 2021.
    """

    def __init__(self, width: int, stride: int, method: str = "nearest", **kwargs) -> None:
        super().__init__(**kwargs)
        self.width, self.stride, self.method = width, stride, method
        if method == "nearest":
            self.convolution = keras.layers.Conv1D(width, 3, padding="same", dtype=self.dtype_policy)
        elif method == "transposed":
            self.convolution = keras.layers.Conv1DTranspose(
                width, 2 * stride, strides=stride, padding="same", dtype=self.dtype_policy
            )
        else:
            raise ValueError(f"upsampling must be 'nearest' or 'transposed', not {method!r}.")

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        self.convolution.build(input_shape)

    def call(self, inputs):
        """[batch, frames, channels] -> [batch, frames * stride, width]."""
        return self.convolution(keras.ops.repeat(inputs, self.stride, axis=1) if self.method == "nearest" else inputs)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "width": self.width, "stride": self.stride, "method": self.method}
