import math

import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.losses import RateControl

KL = np.array([[0.1, 0.5, 2.0], [0.0, 0.3, 1.0]], np.float32)  # nats, two examples of three dimensions


@pytest.mark.parametrize(
    ("method", "step", "weight"),
    [
        ("constant", 0, 0.5),
        ("constant", 1000, 0.5),
        ("linear", 0, 0.0),
        ("linear", 25, 0.125),
        ("linear", 100, 0.5),
        ("linear", 250, 0.5),
        ("cyclical", 0, 0.0),
        ("cyclical", 25, 0.25),
        ("cyclical", 50, 0.5),
        ("cyclical", 99, 0.5),
        ("cyclical", 125, 0.25),
        ("target", 7, 0.5),
    ],
)
def test_penalty_is_the_scheduled_weight_times_the_mean_kl(method, step, weight):
    control = RateControl(method, beta=0.5, warmup_steps=100)
    assert float(control.weight(step)) == pytest.approx(weight, rel=1e-5)
    assert float(control.penalty(KL, step)) == pytest.approx(weight * KL.sum(axis=1).mean(), rel=1e-5)


def test_free_bits_charge_only_what_lies_beyond():
    control, kl = RateControl("free_bits", beta=0.5, free_bits=0.3), tf.constant(KL)
    with tf.GradientTape() as tape:
        tape.watch(kl)
        penalty = control.penalty(kl, step=0)
    assert float(penalty) == pytest.approx(0.5 * (0.3 + 0.4 + 1.5), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(penalty, kl), [[0.0, 0.25, 0.25]] * 2)


def test_free_bits_are_an_average_over_the_global_batch(two_replicas):
    """A dimension that one replica's rows alone would leave free is charged for if the whole batch spends it."""
    control = RateControl("free_bits", beta=1.0, free_bits=0.3)
    rows = tf.constant([[0.9, 0.1], [0.0, 0.2]])

    def own():
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        return control.penalty(tf.gather(rows, [index]), step=0)

    parts = two_replicas.experimental_local_results(two_replicas.run(tf.function(own, autograph=False)))
    assert float(tf.reduce_mean(parts)) == pytest.approx(float(control.penalty(rows, step=0)), rel=1e-6)


def test_target_holds_the_rate_of_a_coder_that_answers_to_the_weight():
    control = RateControl("target", beta=1e-4, target_bps=3000.0, frames_per_second=35.0)
    nats = tf.Variable(0.0)

    @tf.function
    def train(steps):
        for _ in tf.range(steps):
            # A Gaussian source spends half a nat less each time its price doubles, and the coder follows slowly.
            wanted = 16 * tf.maximum(0.0, 0.5 * tf.math.log(1.0 / control.weight(0)))
            nats.assign_add(0.1 * (wanted - nats))
            control.update(nats)

    train(2000)
    assert float(control.bits_per_second(nats)) == pytest.approx(3000.0, rel=0.02)
    weight = float(control.weight(0))
    train(200)
    assert float(control.weight(0)) == pytest.approx(weight, rel=0.1)


@pytest.mark.parametrize(("kl", "factor"), [(1e6, math.exp(0.01)), (0.0, math.exp(-0.01))])
def test_weight_moves_by_at_most_one_percent_a_step(kl, factor):
    control = RateControl("target", beta=0.5)
    control.update(tf.constant(kl))
    assert float(control.weight(0)) == pytest.approx(0.5 * factor, rel=1e-5)


@pytest.mark.parametrize("method", ["constant", "linear", "cyclical", "free_bits"])
def test_other_rules_have_no_state(method):
    control = RateControl(method)
    control.update(tf.constant(100.0))
    assert control.variables == []


def test_rate_of_a_nat_per_frame():
    control = RateControl(frames_per_second=35.0)
    assert float(control.bits_per_second(tf.constant(math.log(2.0)))) == pytest.approx(35.0)


@pytest.mark.parametrize("method", RateControl.METHODS)
def test_before_its_start_nothing_is_charged_and_then_it_begins_anew(method):
    late, prompt = (RateControl(method, beta=0.5, warmup_steps=40, start_step=start) for start in (100, 0))
    assert float(late.penalty(KL, 99)) == 0.0
    for step in (0, 10, 40, 55):
        assert float(late.weight(100 + step)) == float(prompt.weight(step))
    assert late.ramp_steps == 100 + prompt.ramp_steps
    weight = float(late.weight(100))
    late.update(tf.constant(1e6), weight=0.0)
    assert float(late.weight(100)) == weight


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "warmup"}, "rate_control must be one of target, constant"),
        ({"beta": 0.0}, "beta and target_bps above 0"),
        ({"target_bps": 0.0}, "beta and target_bps above 0"),
    ],
)
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RateControl(**wrong)
