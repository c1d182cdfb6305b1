import pytest

from keras_audio_vae.training import CodebookReport, RunState


@pytest.fixture
def heard():
    """What was said and what was warned of."""
    return [], []


def report(heard, step=900, **options):
    said, warned = heard
    return CodebookReport(RunState(step=step), after_step=500, say=said.append, warn=warned.append, **options)


def logs(*usage):
    return {f"usage_{book}": share for book, share in enumerate(usage, start=1)} | {"usage": sum(usage) / len(usage)}


def test_a_model_without_codebooks_has_nothing_to_say(heard):
    report(heard).on_epoch_end(0, {"loss": 1.0})
    assert heard == ([], [])


def test_each_measure_is_told_of_each_codebook(heard):
    report(heard).on_epoch_end(0, logs(1.0, 0.75) | {"restarts_1": 0.0, "restarts_2": 3.5, "dead": 2.0})
    assert heard[0] == ["codebooks: used 1 0.75, placed anew 0 3.5"]


def test_what_all_codebooks_share_is_told_once(heard):
    report(heard).on_epoch_end(0, logs(1.0, 1.0) | {"dead_1": 0.0, "dead_2": 0.0, "restarts_1": 0.0, "restarts_2": 1.0})
    assert heard[0] == ["codebooks: used 1, dead 0, placed anew 0 1"]


def test_the_alarm_names_the_worst_codebook_and_what_to_change(heard):
    report(heard).on_epoch_end(0, logs(0.9, 0.25, 0.4))
    [warning] = heard[1]
    assert "25 % of the codes of codebook 2" in warning and "step 900" in warning and "restart_threshold" in warning


def test_the_alarm_waits_for_the_warm_up_and_tells_each_new_low_once(heard):
    report(heard, step=499).on_epoch_end(0, logs(0.1))
    assert not heard[1]
    alarm = report(heard)
    for usage in (0.3, 0.3, 0.4, 0.2, 0.6):
        alarm.on_epoch_end(0, logs(usage))
    assert [warning.split(" % ")[0].split()[-1] for warning in heard[1]] == ["30", "20"]
