"""Sounds and models that the tests of all families begin with."""

import numpy as np


def noise(*shape, seed=0):
    return (0.2 * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def shaken(model):
    """The model with weights that no initializer leaves at zero, so that every part matters."""
    for number, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.05 * np.random.default_rng(number).normal(size=variable.shape))
    return model


def opened(model):
    """The model with a head that is not zero: sound in every bin, and gradients to every layer, from the first step.

    Bins of the draft alone hold rounding errors, which logarithms of them would turn into differences that are seen.
    """
    for number, weight in enumerate(model.network.head.weights):
        weight.assign(noise(*weight.shape, seed=number))
    return model
