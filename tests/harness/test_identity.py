"""A run id depends on what determines the numbers, on all of it, and on nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabench.plan import make_plan
from cabench.spec import RunSpec, resolve

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.booleans()
)
PARAMS = st.dictionaries(NAMES, VALUES, max_size=5)
SPECS = st.builds(
    RunSpec, NAMES, PARAMS, NAMES, PARAMS, st.sampled_from(["synthetic", "real"]), NAMES, st.integers(0, 10**6)
)
UNTIMED = settings(deadline=None)  # a busy machine is no failure
GOLDEN = RunSpec(
    "pca", {"salient_dim": 32, "rate": 0.1, "term": "ж"}, "toy", {"noise": 0.0}, "synthetic", "smoke", 3
)


class Taking:
    """Takes a parameter of each kind."""

    def __init__(self, size: int = 10, rate: float = 0.5, term: str = "none", flag: bool = False):
        pass


GIVEN = {
    "size": st.integers(-100, 100),
    "rate": st.floats(-10, 10).map(lambda x: x + 0.0),
    "term": st.text(),
    "flag": st.booleans(),
}


def test_an_id_once_given_stays():
    assert GOLDEN.run_id == "toy-pca-3-93498e8f3924"


@UNTIMED
@given(SPECS, st.randoms(use_true_random=False))
def test_the_order_of_parameters_changes_nothing(spec, random):
    def shuffled(params):
        items = list(params.items())
        random.shuffle(items)
        return dict(items)

    other = replace(spec, params=shuffled(spec.params), dataset_params=shuffled(spec.dataset_params))
    assert other.run_id == spec.run_id


@UNTIMED
@given(SPECS, SPECS)
def test_two_specs_share_an_id_only_if_they_are_one(one, other):
    alike = json.dumps(one.to_json(), sort_keys=True) == json.dumps(other.to_json(), sort_keys=True)
    assert (one.run_id == other.run_id) == alike


@UNTIMED
@given(SPECS, st.data())
def test_every_field_and_every_parameter_changes_the_id(spec, data):
    changed = [
        replace(spec, **{name: getattr(spec, name) + "x"}) for name in ("method", "dataset", "source", "tier")
    ]
    changed += [replace(spec, seed=spec.seed + 1)]
    for field in ("params", "dataset_params"):
        for name, value in getattr(spec, field).items():
            other = data.draw(VALUES.filter(lambda new, old=value: json.dumps(new) != json.dumps(old)))
            changed.append(replace(spec, **{field: getattr(spec, field) | {name: other}}))
        changed.append(replace(spec, **{field: getattr(spec, field) | {"Another": 1}}))
    ids = [spec.run_id, *(one.run_id for one in changed)]
    assert spec.run_id not in ids[1:]


@UNTIMED
@given(SPECS)
def test_an_id_survives_the_way_through_a_record(spec):
    read = RunSpec(**json.loads(json.dumps(spec.to_json())))
    assert read.run_id == spec.run_id and read == spec


@UNTIMED
@given(st.fixed_dictionaries({}, optional=GIVEN))
def test_a_number_is_the_same_as_int_and_as_float(given_values):
    def spec(values):
        return RunSpec("m", resolve(Taking, [values], "m"), "d", {}, "synthetic", "quick", 0)

    written = {
        name: float(value) if name == "size" else int(value) if name == "rate" and value.is_integer() else value
        for name, value in given_values.items()
    }
    assert spec(written).run_id == spec(given_values).run_id


@settings(UNTIMED, max_examples=5)
@given(
    st.permutations(["salient_dim=4", "common_dim=5", "pca.salient_dim=4"]),
    st.permutations(["pca", "random"]),
    st.sampled_from(["0,1,2", "0:3", " 0, 1 ,2", "2,1,0"]),
)
def test_neither_the_order_of_options_nor_their_company_changes_an_id(overrides, methods, seeds):
    plan = make_plan(",".join(methods), "cifar_mnist", seeds, "smoke", overrides=overrides)
    (alone,) = make_plan("pca[salient_dim=4,common_dim=5]", "cifar_mnist", "1", "smoke").cells
    assert alone.run_id in {cell.run_id for cell in plan.cells}
    assert len({cell.run_id for cell in plan.cells}) == 6


WORDS = [
    ("pca[salient_dim=4]", "cifar_mnist"),
    ("pca[ salient_dim = 4 ]", "cifar_mnist"),
    ("pca[salient_dim=4.0]", "cifar_mnist"),
    ("pca[salient_dim=4]", "cifar_mnist[noise=0]"),
    ("pca[salient_dim=4]", "cifar_mnist[noise=0.0]"),
]


@pytest.mark.parametrize(("methods", "datasets"), WORDS)
def test_ways_to_write_the_same_are_one_id(methods, datasets):
    (cell,) = make_plan(methods, datasets, "0", "smoke").cells
    (first,) = make_plan(*WORDS[0], "0", "smoke").cells
    assert cell.run_id == first.run_id


PLAN = """
from cabench.plan import make_plan
print(*(cell.run_id for cell in make_plan("pca,random[salient_dim=3]", "cifar_mnist", "0:2", "smoke").cells))
"""


def test_folder_locale_time_zone_and_hash_seed_change_nothing(tmp_path):
    expected = " ".join(
        cell.run_id for cell in make_plan("pca,random[salient_dim=3]", "cifar_mnist", "0:2", "smoke").cells
    )
    strange = {
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "C",
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
    }
    made = subprocess.run(
        [sys.executable, "-c", PLAN],
        cwd=tmp_path,
        env={**os.environ, **strange},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == expected
