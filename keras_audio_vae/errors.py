"""The one exception for problems that the user can mend."""


class UserError(Exception):
    """A problem outside the code: a missing folder, a damaged file, a run directory of other flags.

    The message says what was wrong, where, and what to do about it; the commands print it as one line and exit with
    code 1. Wrong arguments of a library call are a `ValueError` or a `TypeError`, as everywhere in Keras.

    Example:
        >>> raise UserError("/music: no such folder; check --data")
        Traceback (most recent call last):
        ...
        keras_audio_vae.errors.UserError: /music: no such folder; check --data
    """
