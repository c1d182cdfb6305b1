import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.datasets import Augmentation

RATE = 22050
ROWS = 64


def step(number):
    return tf.constant(number, tf.int64)


def tone(hertz, samples=4410, rows=ROWS):
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE).astype(np.float32)
    return tf.constant(np.tile(wave[None, :, None], [rows, 1, 1]))


def rms(waveform):
    return np.sqrt(np.mean(np.square(waveform), axis=(1, 2)))


ALL = Augmentation(
    gain_db=6.0,
    flip_polarity=True,
    pitch_semitones=2.0,
    lowpass_hz=(2000.0, 8000.0),
    mangle_phase=True,
    noise_dbfs=(-60.0, -40.0),
)


def test_by_default_only_the_place_changes():
    waveform = tone(440)
    np.testing.assert_array_equal(Augmentation().change(waveform, 0, step(0), RATE), waveform)
    np.testing.assert_array_equal(Augmentation().speeds(0, step(0), 4), np.ones(4))
    assert Augmentation().source_samples(1000) == 1000


def test_everything_repeats_with_seed_and_step_and_differs_otherwise():
    def changed(seed, number):
        return ALL.change(tone(440), seed, step(number), RATE).numpy()

    np.testing.assert_array_equal(changed(1, 5), changed(1, 5))
    assert not np.array_equal(changed(1, 5), changed(1, 6)) and not np.array_equal(changed(1, 5), changed(2, 5))
    assert len(np.unique(ALL.speeds(0, step(3), ROWS))) == ROWS


def test_offsets_keep_to_their_range_and_use_it():
    offsets = np.concatenate([Augmentation().offsets(0, step(n), ROWS, reach=7) for n in range(20)])
    assert set(offsets) == {-3, -2, -1, 0, 1, 2, 3}


def test_gain_is_uniform_in_decibels_and_independent_of_offsets():
    louder = Augmentation(gain_db=6.0)
    gains = np.concatenate([rms(louder.change(tf.ones([ROWS, 8, 1]), 0, step(n), RATE)) for n in range(20)])
    decibels = 20 * np.log10(gains)
    assert decibels.min() < -5.5 and decibels.max() > 5.5 and np.abs(decibels).max() <= 6.001
    offsets = np.concatenate([louder.offsets(0, step(n), ROWS, reach=1001) for n in range(20)])
    assert abs(np.corrcoef(offsets, decibels)[0, 1]) < 0.1


def test_polarity_turns_about_half_of_the_rows():
    signs = Augmentation(flip_polarity=True).change(tf.ones([ROWS, 4, 1]), 0, step(0), RATE).numpy()[:, 0, 0]
    assert set(signs) == {-1.0, 1.0} and 16 < (signs > 0).sum() < 48


def test_speeds_are_uniform_in_semitones():
    semitones = np.concatenate(
        [12 * np.log2(Augmentation(pitch_semitones=4.0).speeds(0, step(n), ROWS)) for n in range(20)]
    )
    assert np.abs(semitones).max() <= 4.001 and semitones.min() < -3.8 and semitones.max() > 3.8
    assert abs(semitones.mean()) < 0.3


def test_lowpass_lets_the_low_through_and_dampens_the_high():
    lowpass = Augmentation(lowpass_hz=(1000.0, 2000.0))
    inside = slice(500, -500)  # a tone that begins at once has all frequencies there
    low, high = (lowpass.change(tone(hertz), 0, step(0), RATE).numpy()[:, inside] for hertz in (300, 8000))
    np.testing.assert_allclose(rms(low), np.sqrt(0.5), rtol=0.01)
    assert rms(high).max() < np.sqrt(0.5) / 200, "three octaves or two above the cutoff, 24 dB each"


def test_mangled_phase_keeps_the_spectrum_and_changes_the_waveform():
    noise = tf.random.stateless_normal([8, 22050, 1], [0, 1])
    noise = tf.concat([noise, tf.zeros([8, 4000, 1])], axis=1)  # room for the filter to ring out
    mangled = Augmentation(mangle_phase=True).change(noise, 0, step(0), RATE)
    before, after = (np.abs(np.fft.rfft(wave[..., 0])) for wave in (noise, mangled))
    np.testing.assert_allclose(after, before, atol=2e-3 * before.max())
    assert (rms(mangled - noise) > 0.1 * rms(noise)).all()


def test_noise_has_the_level_that_was_asked_for():
    noise = Augmentation(noise_dbfs=(-50.0, -40.0)).change(tf.zeros([ROWS, 4410, 1]), 0, step(0), RATE)
    decibels = 20 * np.log10(rms(noise))
    assert decibels.min() > -50.5 and decibels.max() < -39.5 and np.ptp(decibels) > 8


@pytest.mark.parametrize(
    "wrong",
    [{"noise_dbfs": (-30.0,)}, {"lowpass_hz": (0.0, 100.0)}, {"gain_db": -1.0}, {"pitch_semitones": 30.0}],
)
def test_wrong_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
