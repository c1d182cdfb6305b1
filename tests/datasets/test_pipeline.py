import hashlib
import itertools

import keras
import numpy as np
import pytest
import soundfile

from keras_audio_vae.audio import decode_file, resample, scan
from keras_audio_vae.datasets import Augmentation, ChunkPipeline, from_folder, plan_chunks, split
from keras_audio_vae.errors import UserError

LOUDER = Augmentation(gain_db=6.0)
SECONDS = {"short": 0.05, "odd": 0.737, "exact": 0.5, "long": 1.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a user: MP3 at 44.1 kHz stereo, WAV at 8 kHz, a text named .wav and an empty file."""
    folder = tmp_path_factory.mktemp("own")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * 44100, 2))
    soundfile.write(folder / "song.mp3", noise, 44100)
    soundfile.write(folder / "telephone.wav", noise[:8000, 0], 8000)
    (folder / "lyrics.wav").write_text("la la la")
    (folder / "empty.ogg").touch()
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for number, (name, seconds) in enumerate(SECONDS.items()):
        noise = np.random.default_rng(number).uniform(0.1, 0.4, round(seconds * 8000))
        soundfile.write(folder / f"{name}.wav", noise, 8000, subtype="FLOAT")
    return scan(folder)


@pytest.fixture(scope="module")
def pipeline(corpus):
    return ChunkPipeline(corpus, sample_rate=8000, chunk_samples=1000)


def take(data, count, skip=0):
    return [{k: v.numpy() for k, v in batch.items()} for batch in itertools.islice(iter(data), skip, skip + count)]


def digest(batches):
    state = hashlib.sha256()
    for batch in batches:
        state.update(batch["waveform"].tobytes() + batch["mask"].tobytes())
    return state.hexdigest()


def test_evaluation_is_the_plan_chunk_by_chunk(pipeline, corpus):
    whole = {index: waveform for index, (_, waveform, _) in enumerate(pipeline.recordings())}
    plan = plan_chunks([len(waveform) for waveform in whole.values()], 1000, 0.5)
    batches = take(pipeline.evaluation(4), 1000)
    waveforms, masks = (np.concatenate([batch[key] for batch in batches]) for key in ("waveform", "mask"))
    assert pipeline.num_chunks == len(plan.start) and len(waveforms) == 4 * len(batches) >= pipeline.num_chunks
    for row in range(len(waveforms)):
        length = plan.length[row] if row < pipeline.num_chunks else 0
        np.testing.assert_array_equal(masks[row], np.arange(1000) < length)
        assert not waveforms[row, length:].any()
        if length:
            stretch = whole[plan.recording[row]][plan.start[row] : plan.start[row] + length]
            np.testing.assert_array_equal(waveforms[row, :length], stretch)
    assert len(pipeline.evaluation(4)) == len(batches)


def test_training_rows_are_stretches_of_their_recordings(pipeline):
    whole = {recording.path: waveform for recording, waveform, _ in pipeline.recordings()}
    for step, batch in enumerate(take(pipeline.training(4, seed=5), 10)):
        assert batch["waveform"].shape == (4, 1000, 1) and batch["mask"].shape == (4, 1000)
        files = pipeline.files_of_step(step, 4, seed=5)
        for path, waveform, mask in zip(files, batch["waveform"], batch["mask"], strict=True):
            length = int(mask.sum())
            assert length == min(1000, len(whole[path])), "an offset must not add padding"
            assert not waveform[length:].any() and (mask[:length] == 1).all()
            stretches = np.lib.stride_tricks.sliding_window_view(whole[path][:, 0], length)
            assert (stretches == waveform[:length, 0]).all(axis=1).any()


def test_without_augmentation_an_epoch_is_the_plan_in_another_order(corpus):
    pipeline = ChunkPipeline(corpus, sample_rate=8000, chunk_samples=1000)
    rows = {
        row.tobytes()
        for batch in take(pipeline.training(1, augmentation=Augmentation(random_offset=False)), pipeline.num_chunks)
        for row in batch["waveform"]
    }
    planned = {row.tobytes() for batch in take(pipeline.evaluation(1), 1000) for row in batch["waveform"]}
    assert rows == planned and len(planned) == pipeline.num_chunks


def test_stream_from_the_middle_is_the_tail_of_the_stream_from_the_start(pipeline, corpus):
    def training(pipeline, **options):
        return pipeline.training(4, seed=7, augmentation=LOUDER, **options)

    tail = digest(take(training(pipeline), 6, skip=7))
    assert tail == digest(take(training(pipeline, first_step=7), 6))
    another = ChunkPipeline(corpus, sample_rate=8000, chunk_samples=1000)
    assert tail == digest(take(training(another, first_step=7), 6))
    assert tail != digest(take(pipeline.training(4, seed=8, augmentation=LOUDER, first_step=7), 6))


@pytest.mark.parametrize("normalization", ["none", "rms"])
def test_corpus_that_does_not_fit_into_memory_gives_the_same_batches(folder, normalization):
    cached, streamed = (
        ChunkPipeline(scan(folder), chunk_samples=5000, channels=2, normalization=normalization, cache_gb=size)
        for size in (1.0, 0.0)
    )
    assert cached.cached and not streamed.cached
    for a, b in (
        (p.training(3, seed=1, augmentation=LOUDER) for p in (cached, streamed)),
        (p.evaluation(3) for p in (cached, streamed)),
    ):
        assert a.element_spec == b.element_spec
        for left, right in zip(take(a, 4), take(b, 4), strict=True):
            np.testing.assert_allclose(left["waveform"], right["waveform"], atol=2e-4)
            np.testing.assert_array_equal(left["mask"], right["mask"])


def test_fewer_chunks_than_a_batch_still_fill_it(pipeline):
    assert pipeline.num_chunks < 64 and pipeline.steps_per_epoch(64) == 1
    batch = take(pipeline.training(64), 1)[0]
    assert batch["waveform"].shape[0] == 64 and (batch["mask"].sum(axis=1) > 0).all()
    assert set(pipeline.files_of_step(0, 64)) == {recording.path for recording in pipeline.corpus.recordings}


def test_gain_is_within_its_range(pipeline):
    plain, loud = (take(pipeline.training(8, augmentation=change), 5) for change in (None, LOUDER))
    ratios = np.concatenate(
        [(b["waveform"].sum((1, 2)) / a["waveform"].sum((1, 2))) for a, b in zip(plain, loud, strict=True)]
    )
    assert ratios.min() < 0.7 and ratios.max() > 1.4 and ratios.min() > 0.5 and ratios.max() < 2


def test_one_and_two_replicas_see_the_same_global_batches(pipeline, two_replicas):
    data = two_replicas.experimental_distribute_dataset(pipeline.training(4, seed=3, augmentation=LOUDER))
    for batch, expected in zip(data, take(pipeline.training(4, seed=3, augmentation=LOUDER), 5), strict=False):
        for key in ("waveform", "mask"):
            parts = two_replicas.experimental_local_results(batch[key])
            assert [len(part) for part in parts] == [2, 2]
            np.testing.assert_array_equal(np.concatenate(parts), expected[key])


@pytest.mark.parametrize("normalization", ["none", "peak", "rms"])
def test_normalization_is_undone_by_the_gain_that_comes_along(folder, normalization):
    pipeline = ChunkPipeline(scan(folder), normalization=normalization)
    for recording, waveform, gain in pipeline.recordings():
        decoded, sample_rate = decode_file(recording.path)
        expected = resample(decoded.mean(axis=1, keepdims=True), sample_rate, 22050)
        np.testing.assert_allclose(waveform / gain, expected, atol=1e-6)
        assert normalization != "peak" or np.abs(waveform).max() == pytest.approx(0.9)


def test_a_users_folder_trains_on_its_two_good_files(folder):
    found = scan(folder)
    assert {skipped.path: skipped.reason for skipped in found.skipped} == {
        str(folder / "lyrics.wav"): "not sound: it contains text",
        str(folder / "empty.ogg"): "the file is empty",
    }
    parts = split(found)
    assert len(parts["train"].recordings) == 2
    pipeline = ChunkPipeline(parts["train"])
    assert pipeline.num_chunks == 3 + 1
    batch = take(pipeline.training(16), 1)[0]
    assert batch["waveform"].shape == (16, 22050, 1) and np.abs(batch["waveform"]).max() > 0.1
    with pytest.raises(UserError, match="valid split is empty"):
        from_folder(str(folder), "valid")
    with pytest.raises(UserError, match="no recording"):
        ChunkPipeline(parts["test"])


def test_plain_fit_sees_new_batches_each_epoch(folder):
    data = from_folder(str(folder), batch_size=2, chunk_samples=4410, seed=2)
    first, second = take(data, 1000), take(data, 1000)
    assert len(data) == len(first) == len(second) and digest(first) != digest(second)
    again = from_folder(str(folder), batch_size=2, chunk_samples=4410, seed=2)
    assert digest(first) == digest(take(again, 1000))

    inputs = keras.Input((4410, 1))
    model = keras.Model(inputs, keras.layers.Conv1D(1, 3, padding="same")(inputs))
    model.compile("adam", "mse")
    pairs = data.map(lambda batch: (batch["waveform"], batch["waveform"]))
    history = model.fit(pairs, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    "wrong", [{"normalization": "loud"}, {"channels": 0}, {"chunk_samples": 0}, {"chunk_overlap": 1.0}]
)
def test_wrong_arguments_are_refused(corpus, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ChunkPipeline(corpus, **wrong)
    with pytest.raises(ValueError, match="split must be one of"):
        from_folder("fluidnotes", "training")
