"""What is still being read when the interpreter ends."""

import gc

import tensorflow as tf


def end_reading() -> None:
    """End the iterators over tf.data data sets that a script still holds; to be called at exit.

    A thread of tf.data that calls Python once the interpreter has begun to end never comes back. An iterator that is
    destroyed after that waits for it, and the process would hang; destroyed before, the threads finish what they do.

    Example:
        >>> import atexit
        >>> _ = atexit.register(end_reading)
    """
    for thing in gc.get_objects():
        if issubclass(type(thing), tf.data.Iterator):
            vars(thing).clear()  # with the handle of the iterator's resource, whatever its name
