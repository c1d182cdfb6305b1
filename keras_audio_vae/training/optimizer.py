"""AdamW of bounded steps, and a learning rate that knows how far the run has come, by steps or by the clock."""

import math
from collections.abc import Sequence

import keras

from keras_audio_vae.training.variables import is_assigned

LARGEST_CHANGE = 0.05  # of a kernel's size, in one step
LEAST_SIZE = 0.04  # kernels that start at zero have to start all the same


@keras.saving.register_keras_serializable("keras_audio_vae")
class BoundedAdamW(keras.optimizers.AdamW):
    """AdamW whose learning rate for a kernel is at most a twentieth of the kernel's size.

    Adam's steps are as long as the learning rate, however small the entries of a kernel are. In a network without
    normalisation a step of a tenth of the kernels blows the outputs up, and what it was before is forgotten in the way
    back: at 0.006 the losses rose a thousandfold within 100 steps and the run was lost (benchmarks/RESULTS.md). So the
    learning rate of a kernel is at most 0.05 times the root mean square of its entries, which counts as 0.04 where it
    is less: rates up to 0.002 are never lowered. Gains and biases have no size to compare with and keep theirs, and
    weights decay by the rate as it was given.

    Args:
        *args: Those of `keras.optimizers.AdamW`.
        **kwargs: As well.

    Example:
        >>> kernel = keras.Variable([[1.0, -1.0]])
        >>> optimizer = BoundedAdamW(learning_rate=0.5, weight_decay=0.0)
        >>> optimizer.apply([keras.ops.ones((1, 2))], [kernel])
        >>> keras.ops.convert_to_numpy(kernel).round(3)
        array([[ 0.95, -1.05]], dtype=float32)

    Reference:
        Shazeer, Stern: Adafactor, ICML 2018 (steps relative to a tensor's size, and no smaller than of a least one);
        You et al.: Large Batch Optimization for Deep Learning, ICLR 2020 (trust ratio).
    """

    def update_step(self, gradient, variable, learning_rate):
        """One step of one variable."""
        if len(variable.shape) >= 2:
            size = keras.ops.sqrt(keras.ops.mean(keras.ops.square(variable)))
            learning_rate = keras.ops.minimum(learning_rate, LARGEST_CHANGE * keras.ops.maximum(size, LEAST_SIZE))
        super().update_step(gradient, variable, learning_rate)


def make_optimizer(
    variables: Sequence[keras.Variable],
    *,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    ema_decay: float = 0.99,
) -> BoundedAdamW:
    """Builds the optimizer of `variables`; call it inside the scope of the run's strategy.

    beta_1 = 0.8 and beta_2 = 0.99 are what GAN vocoders and RAVE train with: short memories suit runs of few thousand
    steps. Gains and biases (fewer than two dimensions) do not decay: they have no scale to keep small; codes neither:
    they stand for encodings, which are not smaller for it. Clipping is the model's task, which does it after the
    gradients of all replicas have been summed.

    Args:
        variables: The trainable variables.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled decay per step, times the learning rate (Loshchilov and Hutter, arXiv:1711.05101).
        ema_decay: Decay per step of the exponential moving average of the weights; 0 keeps none.

    Returns:
        The optimizer, built.

    Example:
        >>> kernel, bias = keras.Variable([[1.0]]), keras.Variable([1.0])
        >>> optimizer = make_optimizer([kernel, bias], learning_rate=0.1, weight_decay=0.5)
        >>> optimizer.apply([keras.ops.zeros((1, 1)), keras.ops.zeros((1,))])
        >>> round(float(kernel[0, 0]), 3), float(bias[0])
        (0.95, 1.0)
    """
    optimizer = BoundedAdamW(
        learning_rate,
        weight_decay=weight_decay,
        beta_1=0.8,
        beta_2=0.99,
        use_ema=ema_decay > 0,
        ema_momentum=ema_decay,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2 or is_assigned(v)])
    optimizer.build(list(variables))
    return optimizer


def progress_of(step: int, total_steps: int, seconds: float = 0.0, max_seconds: float = 0.0) -> float:
    """How much of a run is done, 0 to 1: the larger of its share of steps and its share of time.

    Args:
        step: Steps done.
        total_steps: Steps of the whole run; 0 for no limit.
        seconds: Time spent.
        max_seconds: Time of the whole run; 0 for no limit.

    Example:
        >>> progress_of(step=50, total_steps=200, seconds=30.0, max_seconds=60.0)
        0.5
    """
    by_steps = step / total_steps if total_steps else 0.0
    by_time = seconds / max_seconds if max_seconds else 0.0
    return min(1.0, max(by_steps, by_time))


def learning_rate_at(step: int, progress: float, *, peak: float, warmup_steps: int) -> float:
    """Linear warm-up by steps, times a half cosine to 0 over the run's progress.

    The cosine follows progress and not the step so that a run that is limited by the clock also ends at 0, however many
    steps the machine makes in that time (SGDR without restarts, arXiv:1608.03983).

    Args:
        step: Steps done before this one.
        progress: See `progress_of`.
        peak: Highest learning rate.
        warmup_steps: Steps until the warm-up is over; 0 for none.

    Example:
        >>> [round(learning_rate_at(step, step / 100, peak=1.0, warmup_steps=10), 3) for step in (0, 4, 9, 50, 100)]
        [0.1, 0.498, 0.98, 0.5, 0.0]
    """
    warmup = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return peak * warmup * 0.5 * (1.0 + math.cos(math.pi * progress))
