"""Plugins that do what none should: the record says so, and nobody else's numbers change."""

import pytest
from reliability.runs import numbers

from cabench.codes_file import PREDICTIONS_FILE
from cabench.errors import UserError
from cabench.execute import execute
from cabench.plan import make_plan
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture
def odd(plugins, tmp_path):
    """Run the method of `corner.py`, changed, on the toy data set; returns the records by method."""

    def call(fit="pass", change=lambda text: text, methods="corner", results="results", **options):
        text = (plugins / "corner.py").read_text().replace("return self", f"{fit}\n        return self")
        (tmp_path / "odd.py").write_text(change(text))
        plan = make_plan(methods, "toy", "0", "smoke", plugins=[tmp_path / "odd.py", plugins / "toy.py"])
        records = execute(plan, Store(tmp_path / results), Options(device="cpu", **options))
        return {record["label"]: record for record in records}

    return call


@pytest.mark.parametrize("part", ["train.x", "train.y", "validation.groups", "train.labels['bar']", "x"])
def test_who_writes_into_the_images_fails_alone(odd, part, tmp_path):
    def changed(text):
        # Of test, the only part of 60 images.
        writes = "if len(x) == 60:\n            x[:] = 0\n        corner = x" if part == "x" else "corner = x"
        return text.replace('"none"', '"attributes"').replace("corner = x", writes)

    fit = "pass" if part == "x" else f"{part}[:] = 0"
    record = odd(fit, changed, methods="corner,pca")["corner"]
    assert record["status"] == "failed" and "read-only" in record["error"]
    odd(methods="pca", results="alone")
    spoilt = {cell: of for cell, of in numbers(tmp_path / "results").items() if "-corner-" not in cell[1]}
    assert spoilt and spoilt == numbers(tmp_path / "alone")


@pytest.mark.parametrize("told", ["{1: float('nan')}", "object()", "{1: 0.5, 'a': 1.0}"])
def test_a_history_that_is_no_plain_data_is_a_reason(odd, told):
    record = odd(f"self.history_ = [{told}]")["corner"]
    assert record["status"] == "failed" and record["error"].startswith(("ValueError", "TypeError"))


def test_an_error_that_no_file_can_hold_is_a_failure_like_any_other(odd, tmp_path):
    odd("raise RuntimeError('half \\ud800')")
    (record,) = Store(tmp_path / "results").records()
    assert record["status"] == "failed" and "half" in record["error"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("(Method)", ""), "must subclass cabench.method.Method"),
        (lambda text: text + "\nCorner = 5\n", "must subclass cabench.method.Method"),
        (lambda text: text + "\nraise SystemExit(3)\n", "cannot be imported: SystemExit: 3"),
    ],
)
def test_a_class_that_is_no_method_is_one_sentence(odd, change, says):
    with pytest.raises(UserError, match=says):
        odd(change=change)


def test_an_earlier_fits_damaged_predictions_do_not_fail_a_new_one(odd, tmp_path):
    odd()
    (path,) = tmp_path.glob(f"results/runs/*/{PREDICTIONS_FILE}")
    whole = path.read_bytes()
    path.write_bytes(b"")
    assert odd(force=True)["corner"]["status"] == "done"
    assert path.read_bytes() == whole
