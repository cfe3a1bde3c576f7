"""Plugins that do what none should: the record says so, and nobody else's numbers change."""

import pytest
from reliability.runs import numbers

from cabench.codes_file import PREDICTIONS_FILE
from cabench.errors import UserError
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.store import Store
from cabench.worker import Options

METHOD = """
from cabench.codes import Codes
from cabench.method import Context, Method

class Odd(Method):
    name = "an_odd_one"
    title = "Odd"
    paper = ""
    kind = "reference"
    supervision = "none"

    def fit(self, train, validation=None, context=Context()):
        {fit}
        return self

    def embed(self, x):
        code = x.reshape(len(x), -1)[:, :2].astype("float32")
        return Codes(code, code)
"""


@pytest.fixture
def odd(plugins, tmp_path):
    """Run a plugin, whose text or whose way to fit is given, on the toy data set; returns the records by method."""

    def call(fit="", text=METHOD, methods="an_odd_one", results="results", **options):
        (tmp_path / "odd.py").write_text(text.replace("{fit}", fit))
        plan = make_plan(methods, "toy", "0", "smoke", plugins=[tmp_path / "odd.py", plugins / "toy.py"])
        records = execute(plan, Store(tmp_path / results), Options(device="cpu", **options))
        return {record["label"]: record for record in records}

    return call


@pytest.mark.parametrize("part", ["train.x", "train.y", "validation.groups", "train.labels['bar']", "x"])
def test_who_writes_into_the_images_fails_alone(odd, part, tmp_path):
    text = METHOD.replace('"none"', '"attributes"')
    if part == "x":  # of test, the only part of 60 images
        text = text.replace("        code = x", "        if len(x) == 60:\n            x[:] = 0\n        code = x")
    else:
        text = text.replace("{fit}", f"{part}[:] = 0")
    record = odd("pass", text=text, methods="an_odd_one,pca")["an_odd_one"]
    assert record["status"] == "failed" and "read-only" in record["error"]
    odd(methods="pca", results="alone")
    spoilt = {cell: of for cell, of in numbers(tmp_path / "results").items() if "an_odd_one" not in cell[1]}
    assert spoilt and spoilt == numbers(tmp_path / "alone")


@pytest.mark.parametrize("told", ["{1: float('nan')}", "object()", "{1: 0.5, 'a': 1.0}"])
def test_a_history_that_is_no_plain_data_is_a_reason(odd, told):
    record = odd(f"self.history_ = [{told}]")["an_odd_one"]
    assert record["status"] == "failed" and record["error"].startswith(("ValueError", "TypeError"))


def test_an_error_that_no_file_can_hold_is_a_failure_like_any_other(odd, tmp_path):
    odd("raise RuntimeError('half \\ud800')")
    (record,) = Store(tmp_path / "results").records()
    assert record["status"] == "failed" and "half" in record["error"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('class Odd:\n    name = "an_odd_one"\n', "must subclass cabench.method.Method"),
        ('class Odd:\n    name = "an_odd_one"\nOdd = 5\n', "must subclass cabench.method.Method"),
        ("raise SystemExit(3)\n" + METHOD, "cannot be imported: SystemExit: 3"),
    ],
)
def test_a_class_that_is_no_method_is_one_sentence(odd, text, says):
    with pytest.raises(UserError, match=says):
        odd(text=text)


def test_an_earlier_fits_damaged_predictions_do_not_fail_a_new_one(odd, tmp_path):
    odd()
    (path,) = tmp_path.glob(f"results/runs/*/{PREDICTIONS_FILE}")
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert odd(force=True)["an_odd_one"]["status"] == "done"
    assert path.read_bytes() == whole
