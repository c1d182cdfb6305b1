"""How a run trains, as one value."""

import dataclasses

from keras_audio_vae.datasets import Augmentation


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How a run trains; the fields are named as the flags of `trainers.fit`, and have the same defaults.

    Attributes:
        epochs: Epochs of the whole run; 0 for no limit (then max_minutes is needed).
        steps_per_epoch: Steps of an epoch; 0 for one pass over the chunks.
        max_minutes: Wall-clock limit of the whole run in minutes, over all its starts, each counted from when its
            batches are ready; 0 for no limit. With a limit the learning rate follows the clock, and two runs are then
            not equal bit for bit.
        batch_size: Chunks of the global batch.
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Decoupled weight decay.
        lr_warmup_steps: Steps of linear warm-up of the learning rate.
        ema_decay: Decay per step of the moving average of the weights; 0 for none.
        replicas: Replicas; 0 for all visible GPUs, or one CPU.
        mixed_precision: "float32" or "bfloat16".
        jit_compile: Whether XLA compiles the step.
        seed: Seed of the weights' initial values, of the order of the chunks and of their augmentation.
        augmentation: What is changed at random in the training chunks.
        checkpoint_minutes: Minutes between two checkpoints within an epoch; 0 writes one after each step.
        tensorboard: Whether to write TensorBoard event files.

    Raises:
        ValueError: The run would have no end.

    Example:
        >>> FitOptions(epochs=3).batch_size
        16
        >>> FitOptions(epochs=0)
        Traceback (most recent call last):
        ...
        ValueError: A run needs an end: set epochs, max_minutes, or both.
    """

    epochs: int = 100
    steps_per_epoch: int = 0
    max_minutes: float = 0.0
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    lr_warmup_steps: int = 100
    ema_decay: float = 0.99
    replicas: int = 0
    mixed_precision: str = "float32"
    jit_compile: bool = False
    seed: int = 0
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    checkpoint_minutes: float = 1.0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Checks that the run ends."""
        if self.epochs <= 0 and self.max_minutes <= 0:
            raise ValueError("A run needs an end: set epochs, max_minutes, or both.")
