"""Models on disk: what was learned comes back, and nothing else is taken for it."""

import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from cabench.codes import Codes
from cabench.errors import UserError
from cabench.method import Method
from cabench.methods.cvae import CVAE
from cabench.methods.simclr import SimCLR
from cabench.model_file import read_model, write_model
from cabench.testing import tiny_split


class Learner(Method):
    """Keeps whatever it is given."""

    name = "learner"

    def fit(self, train=None, validation=None, context=None, **learned):
        vars(self).update(learned)
        return self

    def embed(self, x):
        return Codes(x, x)


class Other(Learner):
    name = "other"


@pytest.fixture
def path(tmp_path):
    """A model of a learner that learned one array and one number."""
    write_model(tmp_path / "run" / "model.safetensors", Learner().fit(mean_=np.arange(6.0), rank_=3, note="lost"))
    return tmp_path / "run" / "model.safetensors"


def refused(path, method, reason=""):
    with pytest.raises(
        UserError, match=rf"(?s)holds no model of '{method.name}' \(.*{reason}.*run its cell again\.$"
    ):
        read_model(path, method)
    return True


def test_what_was_learned_comes_back_and_nothing_else(path):
    fresh = read_model(path, Learner())
    assert vars(fresh).keys() == {"mean_", "rank_"}
    assert fresh.rank_ == 3 and np.array_equal(fresh.mean_, np.arange(6.0))


DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    array=arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)),
    fact=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_every_array_and_every_json_value_comes_back_bit_for_bit(array, fact, tmp_path):
    path = tmp_path / "any"
    write_model(path, Learner().fit(array_=array, turned_=array.T, fact_=fact))
    fresh = read_model(path, Learner())
    for got, learned in ((fresh.array_, array), (fresh.turned_, array.T)):
        assert got.dtype == learned.dtype and got.shape == learned.shape
        assert got.tobytes() == learned.tobytes()
    assert fresh.fact_ == fact


def test_a_trained_method_gives_the_same_codes_and_images(tmp_path):
    small = {"epochs": 1, "batch_size": 12, "common_dim": 6, "salient_dim": 5}
    split = tiny_split(n=12).blind()
    method = CVAE(**small).fit(split)
    write_model(tmp_path / "model", method)
    fresh = read_model(tmp_path / "model", CVAE(**small))
    codes, again = method.embed(split.x), fresh.embed(split.x)
    assert np.array_equal(codes.common, again.common) and np.array_equal(codes.salient, again.salient)
    assert np.array_equal(method.decode(codes), fresh.decode(codes))
    for other in (CVAE(**small | {"salient_dim": 4}), CVAE(**small, tc="adversarial"), SimCLR(dim=6)):
        assert refused(tmp_path / "model", other)


def test_a_state_that_no_file_can_hold_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match=r"^'learner' must keep arrays and JSON in its state"):
        write_model(tmp_path / "model", Learner().fit(codes_=Codes(None, None)))
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_one_sentence(path):
    path.unlink()
    assert refused(path, Learner())


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_never_read(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert refused(path, Learner())


def header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def rewrite(path, head, body):
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize(
    "about",
    [
        None,
        {},
        {"method": "learner"},
        {"cabench": "{}"},
        {"cabench": "{", "method": "learner"},
        {"cabench": "[1]", "method": "learner"},
        {"cabench": "7", "method": "learner"},
    ],
)
def test_a_file_with_damaged_facts_is_never_read(path, about):
    head, body = header(path)
    head["__metadata__"] = about
    if about is None:
        del head["__metadata__"]
    rewrite(path, head, body)
    assert refused(path, Learner())


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\3\4" + b"\0" * 100, b"[]", b"\xff" * 64])
def test_a_foreign_file_is_never_read(path, content):
    path.write_bytes(content)
    assert refused(path, Learner())


def test_weights_of_another_programme_are_never_read(path):
    save_file({"mean_": np.arange(6.0)}, path)
    assert refused(path, Learner())


def test_a_model_of_another_method_is_never_read(path):
    assert refused(path, Other(), "it is one of 'learner'")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_is_refused_and_never_run(path, tmp_path):
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert refused(path, Learner())
    assert not (tmp_path / "exploded").exists()


def test_the_file_is_plain_json_and_numbers(path):
    head, body = header(path)
    assert head["__metadata__"] == {"cabench": '{"rank_": 3}', "method": "learner"}
    assert np.frombuffer(body, float).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_failed_write_keeps_the_old_model_and_no_other_file(path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write_model(path, Learner().fit(mean_=np.zeros(1000)))
    assert read_model(path, Learner()).rank_ == 3
    assert [file.name for file in path.parent.iterdir()] == [path.name]
