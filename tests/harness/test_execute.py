import json

import pytest
import torch

from cabench.codes import Codes
from cabench.execute import execute
from cabench.plan import Plan, make_plan
from cabench.report.frame import frame
from cabench.store import Store
from cabench.worker import Options


@pytest.fixture
def records(tmp_path, plugins):
    plan = make_plan("corner,constant", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])
    return execute(plan, Store(tmp_path), Options(device="cpu"))


def value(records, method, name, factor=None, space=None):
    (record,) = (r for r in records if r["label"] == method)
    (row,) = (m for m in record["metrics"] if (m["name"], m["factor"], m["space"]) == (name, factor, space))
    return row


def test_an_oracle_scores_best_and_a_constant_scores_chance(records):
    assert value(records, "corner", "balanced_accuracy", "glow", "salient")["value"] == 1.0
    assert value(records, "corner", "balanced_accuracy", "bar", "common")["value"] == 1.0
    for name, factor in (
        ("balanced_accuracy", "glow"),
        ("balanced_accuracy", "bar"),
        ("balanced_accuracy", "target"),
    ):
        for space in ("common", "salient"):
            row = value(records, "constant", name, factor, space)
            assert row["value"] == row["chance"] == 0.5


def test_every_number_stands_beside_chance_and_ceiling(records):
    for record in records:
        for row in record["metrics"]:
            if row["factor"]:
                assert row["chance"] is not None
            if row["factor"] and row["family"] == "probe":
                assert row["ceiling"] is not None
            assert set(row) >= {
                "name",
                "factor",
                "space",
                "rows",
                "value",
                "chance",
                "ceiling",
                "direction",
                "n",
            }


def test_a_record_holds_spec_status_and_provenance(records):
    record = json.loads(json.dumps(records[0]))
    assert set(record["spec"]) == {"method", "params", "dataset", "dataset_params", "source", "tier", "seed"}
    assert record["status"] == "done"
    assert {"packages", "cpu", "data_digest", "wall_s", "cpu_s", "peak_memory_mb"} <= set(record["provenance"])


def test_the_frame_has_one_row_per_metric(records):
    assert len(frame(records)) == sum(len(r["metrics"]) for r in records)


def test_methods_see_no_labels_unless_they_declare_it(tmp_path, plugins):
    seen = {}
    plan = make_plan("corner", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])
    cls = plan.methods["corner"]
    fit = cls.fit

    def spy(self, train, validation=None, context=None):
        seen["labels"], seen["factors"] = dict(train.labels), train.factors
        return fit(self, train, validation, context)

    cls.fit = spy
    try:
        execute(plan, Store(tmp_path), Options(device="cpu"))
    finally:
        cls.fit = fit
    assert seen == {"labels": {}, "factors": ()}


def test_code_that_changed_is_run_again_and_other_code_is_not(tmp_path, plugins, monkeypatch):
    plan = make_plan("corner,constant", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])
    store, states = Store(tmp_path), []

    def watch(spec, state, *_):
        if state in ("kept", "done"):
            states.append((spec.method, state))

    execute(plan, store, Options(device="cpu"))
    real = Plan.fingerprints

    def changed(self, spec):
        return real(self, spec) | ({"method": "other"} if spec.method == "corner" else {})

    monkeypatch.setattr(Plan, "fingerprints", changed)
    execute(plan, store, Options(device="cpu"), watch)
    assert sorted(states) == [("constant", "kept"), ("corner", "done")]
    states.clear()
    execute(plan, store, Options(device="cpu"), watch)
    assert sorted(states) == [("constant", "kept"), ("corner", "kept")]
    states.clear()
    execute(plan, store, Options(device="cpu", force=True), watch)
    assert sorted(states) == [("constant", "done"), ("corner", "done")]


def test_a_split_that_a_method_refuses_is_refused_before_the_ceiling_is_trained(tmp_path, plugins):
    plan = make_plan("simclr[batch_size=10_000]", "toy", tier="smoke", plugins=[plugins / "toy.py"])
    states = []
    (record,) = execute(plan, Store(tmp_path), Options(device="cpu"), lambda _, state, *at: states.append(state))
    assert record["status"] == "failed" and "set batch_size to at most that" in record["error"]
    assert states == ["loading", "failed"]
    assert not (tmp_path / "references").exists()


def test_a_failed_cell_stays_failed_until_a_retry_is_asked_for(tmp_path, plugins):
    plan = make_plan("raising", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "raising.py"])
    store = Store(tmp_path)
    (failed,) = execute(plan, store, Options(device="cpu"))
    cls = plan.methods["raising"]
    assert failed["status"] == "failed"
    fit = cls.fit
    try:
        cls.fit = lambda self, *_: self
        cls.embed = lambda self, x: Codes(*(x.reshape(len(x), -1)[:, :2].astype("float32") for _ in range(2)))
        assert execute(plan, store, Options(device="cpu")) == [failed]
        (again,) = execute(plan, store, Options(device="cpu", retry=True))
    finally:
        cls.fit = fit
    assert again["status"] == "done"


def test_a_cell_computes_on_one_thread_and_leaves_the_others_to_the_caller(tmp_path, plugins, monkeypatch):
    plan = make_plan("corner", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])
    cls, seen = plan.methods["corner"], []
    fit = cls.fit
    monkeypatch.setattr(cls, "fit", lambda self, *words: seen.append(torch.get_num_threads()) or fit(self, *words))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        execute(plan, Store(tmp_path), Options(device="cpu"))
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_kept_cell_is_called_as_the_last_plan_calls_it(tmp_path, plugins):
    plan = make_plan("constant", "toy", tier="smoke", plugins=[plugins / "toy.py"])
    store = Store(tmp_path)
    (record,) = execute(plan, store, Options(device="cpu"))
    store.write(record | {"dataset_label": "toy[noise=0.0]"})
    (again,) = execute(plan, store, Options(device="cpu"))
    assert again == record == store.read(record["run_id"])


def test_the_seed_that_is_the_ceiling_has_a_scale_like_all_others(tmp_path, plugins):
    plan = make_plan("supervised", "toy", "0:2", tier="smoke", plugins=[plugins / "toy.py"])
    for record in execute(plan, Store(tmp_path), Options(device="cpu")):
        assert record["status"] == "done", record["error"]
        assert {"info", "leak", "CAscore"} <= {row["name"] for row in record["metrics"]}


def test_a_ceiling_of_other_code_is_made_anew(tmp_path, plugins):
    plan = make_plan("corner", "toy", tier="smoke", plugins=[plugins / "toy.py", plugins / "corner.py"])
    store, (ceiling,) = Store(tmp_path), plan.ceilings.values()
    execute(plan, store, Options(device="cpu"))
    made = store.read(ceiling.run_id, "references")
    old = made | {"fingerprints": {"method": "old", "dataset": "old"}, "metrics": []}
    store.write(old, "references")
    (record,) = execute(plan, store, Options(device="cpu", force=True))
    assert record["status"] == "done"
    assert store.read(ceiling.run_id, "references")["fingerprints"] == made["fingerprints"]
    assert all(
        row["ceiling"] is not None for row in record["metrics"] if row["family"] == "probe" and row["factor"]
    )


def test_a_ceiling_that_was_run_as_a_method_is_not_trained_again(tmp_path, plugins):
    files = [plugins / "toy.py", plugins / "corner.py"]
    plan, store = make_plan("corner", "toy", tier="smoke", plugins=files), Store(tmp_path)
    (ceiling,) = plan.ceilings.values()
    execute(make_plan("supervised", "toy", tier="smoke", plugins=files), store, Options(device="cpu"))
    (store.folder(ceiling.run_id, "references") / "record.json").unlink()
    execute(plan, store, Options(device="cpu"))
    assert store.read(ceiling.run_id, "references") is None
