import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_audio_vae.audio import Corpus, Recording
from keras_audio_vae.datasets import evaluation_part, split
from keras_audio_vae.errors import UserError


def corpus_of(names, split_name=None):
    return Corpus(tuple(Recording(f"/x/{name}", name, "wav16", 8000, 1, 100, split_name) for name in names))


def ids(part):
    return [recording.recording_id for recording in part.recordings]


names = st.lists(st.text("abcdefgh/.", min_size=1), unique=True, max_size=30)
fractions = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.45])


@given(names, fractions, fractions)
def test_splits_are_disjoint_complete_and_never_needlessly_empty(names, valid, test):
    parts = split(corpus_of(names), valid, test)
    placed = [name for part in parts.values() for name in ids(part)]
    assert sorted(placed) == sorted(names)
    assert bool(names) == bool(ids(parts["train"]))
    for name, fraction in (("valid", valid), ("test", test)):
        if not fraction or len(names) < 3:
            assert not ids(parts[name])
        else:
            assert ids(parts[name])


def test_a_growing_corpus_keeps_its_splits():
    some, more = (split(corpus_of([f"{number}.wav" for number in range(count)])) for count in (300, 900))
    for name in ("train", "valid", "test"):
        assert set(ids(some[name])) <= set(ids(more[name]))
    assert 60 <= len(ids(more["valid"])) <= 120 and 60 <= len(ids(more["test"])) <= 120


def test_the_digest_is_fixed_for_ever():
    parts = split(corpus_of([f"{number}.wav" for number in range(20)]))
    assert {name: ids(part) for name, part in parts.items() if name != "train"} == {
        "valid": ["0.wav", "1.wav", "3.wav", "12.wav"],
        "test": ["11.wav", "17.wav"],
    }


def test_two_files_are_both_trained_on():
    parts = split(corpus_of(["a.wav", "b.wav"]))
    assert ids(parts["train"]) == ["a.wav", "b.wav"]
    assert evaluation_part(parts) == ("train", parts["train"])


def test_own_split_is_kept():
    corpus = Corpus(corpus_of(["a"], "test").recordings + corpus_of(["b"], "train").recordings)
    parts = split(corpus, 0.4, 0.4)
    assert (ids(parts["train"]), ids(parts["valid"]), ids(parts["test"])) == (["b"], [], ["a"])
    assert evaluation_part(parts)[0] == "test"


def test_unknown_split_and_impossible_fractions_are_refused():
    with pytest.raises(UserError, match="holdout"):
        split(corpus_of(["a"], "holdout"))
    with pytest.raises(ValueError, match="split_by"):
        split(corpus_of(["a"]), by="speaker")
    with pytest.raises(ValueError, match="share to train on"):
        split(corpus_of(["a"]), 0.5, 0.5)


def test_folders_that_are_named_for_splits_decide():
    parts = split(corpus_of(["x/train/a.wav", "x/Validation/b.wav", "eval/c/d.wav", "train/test.wav"]), by="folder")
    assert {name: ids(part) for name, part in parts.items()} == {
        "train": ["x/train/a.wav", "train/test.wav"],
        "valid": ["x/Validation/b.wav"],
        "test": ["eval/c/d.wav"],
    }
    with pytest.raises(UserError, match=r"b\.wav lies in no folder"):
        split(corpus_of(["train/a.wav", "b.wav"]), by="folder")


def test_other_folders_stay_together():
    names = [f"speaker{number}/{take}.wav" for number in range(40) for take in range(5)]
    parts = split(corpus_of(names), by="folder")
    speakers = {name: {entry.split("/")[0] for entry in ids(part)} for name, part in parts.items()}
    assert not speakers["train"] & (speakers["valid"] | speakers["test"]) and not speakers["valid"] & speakers["test"]
    assert all(speakers.values()) and sum(len(ids(part)) for part in parts.values()) == 200


def test_a_table_decides(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,split,label\na.wav,test,x\nb/c.wav,train,y\n")
    parts = split(corpus_of(["a.wav", "b/c.wav"]), by=str(table))
    assert (ids(parts["test"]), ids(parts["train"])) == (["a.wav"], ["b/c.wav"])
    with pytest.raises(UserError, match=r"d\.wav is not in"):
        split(corpus_of(["d.wav"]), by=str(table))
    table.write_text("name,side\na.wav,test\n")
    with pytest.raises(UserError, match="columns file and split"):
        split(corpus_of(["a.wav"]), by=str(table))
    with pytest.raises(UserError, match="cannot be read"):
        split(corpus_of(["a.wav"]), by=str(tmp_path / "none.csv"))
