"""What a run says of its codebooks: a line at the end of each epoch, and an alarm when codes go unused."""

import sys
from collections.abc import Callable, Mapping

import keras

from keras_audio_vae.training.checkpoints import RunState
from keras_audio_vae.training.guards import LowAlarm

_SHOWN = {"usage": "used", "perplexity": "perplexity", "error": "error", "commitment_weight": "commitment weight"}
_COUNTED = {"dead": "dead", "restarts": "placed anew"}


class CodebookReport(keras.callbacks.Callback):
    """Prints, for each codebook, how it was used at the end of an epoch; warns once it is used too little.

    A model of codes reports the measures of its quantizer in the logs, one for each codebook: `usage_1` and so on.

    Args:
        state: Its `step` tells whether the warm-up is over.
        after_step: Steps of warm-up, in which the codes are still being placed.
        threshold: The lowest share of a codebook that is taken as healthy.
        say: Takes the lines; None for no lines.
        warn: Takes the warning; the default writes it to the standard error stream.

    Example:
        >>> report = CodebookReport(RunState(step=900), say=print, warn=print)
        >>> logs = {"usage_1": 1.0, "usage_2": 0.25, "perplexity_1": 180.3, "perplexity_2": 20.5}
        >>> report.on_epoch_end(0, logs)  # doctest: +NORMALIZE_WHITESPACE
        codebooks: used 1 0.25, perplexity 180.3 20.5
        Warning: 25 % of the codes of codebook 2 are in use at step 900: ...

    Reference:
        Łańcucki et al.: Robust Training of Vector Quantized Bottleneck Models, IJCNN 2020.
    """

    def __init__(
        self,
        state: RunState,
        after_step: int = 500,
        threshold: float = 0.5,
        say: Callable[[str], object] | None = None,
        warn: Callable[[str], object] | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        self.state, self.alarm = state, LowAlarm(state, after_step, threshold)
        self.say = say or (lambda text: None)
        self.warn = warn or (lambda text: print(text, file=sys.stderr))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Tells each measure of each codebook, and each new low of their use."""
        logs = logs or {}
        usage = per_codebook(logs, "usage")
        if not usage:
            return
        named = [(words, per_codebook(logs, name)) for name, words in (_SHOWN | _COUNTED).items()]
        lines = [f"{words} {' '.join(_texts(values))}" for words, values in named if values]
        self.say("codebooks: " + ", ".join(lines))
        worst = min(range(len(usage)), key=usage.__getitem__)
        if not self.alarm.is_news(usage[worst]):
            return
        self.warn(
            f"Warning: {100 * usage[worst]:.0f} % of the codes of codebook {worst + 1} are in use at step "
            f"{self.state.step}: the codebook is collapsing. Raise conscience, restart_threshold or evenness_weight, "
            "turn kmeans_init on together with restart_threshold, or take a smaller codebook_size (with "
            "quantizer=scalar fewer levels)."
        )


def _texts(values: list[float]) -> list[str]:
    """Each value, or one if they are all the same."""
    texts = [f"{value:.4g}" for value in values]
    return texts if len(set(texts)) > 1 else texts[:1]


def per_codebook(logs: Mapping[str, float], name: str) -> list[float]:
    """The values that logs have of one measure, codebook after codebook.

    Example:
        >>> per_codebook({"usage_1": 0.9, "usage_2": 0.8, "usage": 0.85}, "usage")
        [0.9, 0.8]
    """
    values: list[float] = []
    while f"{name}_{len(values) + 1}" in logs:
        values.append(logs[f"{name}_{len(values) + 1}"])
    return values
