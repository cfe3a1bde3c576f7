import pytest
from hypothesis import given
from hypothesis import strategies as st

from cabench.errors import UserError
from cabench.plan import make_plan, parse_list, parse_seeds
from cabench.spec import RunSpec


def plan(plugins, methods="corner", datasets="toy", **kwargs):
    return make_plan(methods, datasets, plugins=[plugins / "toy.py", plugins / "corner.py"], **kwargs)


def test_lists_split_outside_brackets_only():
    assert parse_list("a[x=1, y=cos],b") == [("a", {"x": 1, "y": "cos"}), ("b", {})]
    assert parse_list("a[t=(1,2)]") == [("a", {"t": (1, 2)})]


@pytest.mark.parametrize("text", ["a[", "a]b", "", ",", "a[x]", "a[=1]", "a b"])
def test_malformed_list_is_refused(text):
    with pytest.raises(UserError):
        parse_list(text)


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), ("0,2,5", [0, 2, 5]), ("1:4", [1, 2, 3])])
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1:", ":", "3:1", "-1", "1.5", "0:2:4"])
def test_malformed_seeds_are_refused(text):
    with pytest.raises(UserError, match="Seeds are written"):
        parse_seeds(text)


@given(st.permutations(["a", "b", "c", "d"]))
def test_run_id_ignores_the_order_of_parameters(order):
    values = {"a": 1, "b": 2.0, "c": "x", "d": None}
    spec = RunSpec("m", {name: values[name] for name in order}, "d", {}, "synthetic", "quick", 0)
    assert spec.run_id == RunSpec("m", values, "d", {}, "synthetic", "quick", 0).run_id


def test_run_id_ignores_how_a_number_is_written(plugins):
    ids = {plan(plugins, methods=f"corner[scale={text}]").cells[0].run_id for text in ("2", "2.0", "2e0")}
    assert len(ids) == 1


def test_run_id_depends_on_everything_that_determines_the_numbers(plugins):
    changed = [
        plan(plugins),
        plan(plugins, methods="corner[scale=2]"),
        plan(plugins, datasets="toy[noise=0.2]"),
        plan(plugins, seeds="1"),
        plan(plugins, tier="smoke"),
    ]
    assert len({p.cells[0].run_id for p in changed}) == len(changed)


def test_a_label_says_what_the_user_changed(plugins):
    def labels(**words):
        made = plan(plugins, **words)
        return [made.labels[cell.run_id] for cell in made.cells]

    assert labels(methods="corner[scale=2]", datasets="toy[noise=0.1]") == [("corner[scale=2]", "toy[noise=0.1]")]
    assert labels(methods="corner[scale=1.0]", datasets="toy[noise=0]") == [("corner", "toy")]


def test_set_reaches_one_plugin_or_every_method_that_has_the_parameter(plugins):
    assert plan(plugins, overrides=["scale=3"]).cells[0].params["scale"] == 3.0
    assert plan(plugins, overrides=["corner.scale=3"]).cells[0].params["scale"] == 3.0
    assert plan(plugins, overrides=["toy.noise=0.1"]).cells[0].dataset_params["noise"] == 0.1


def test_set_wins_over_the_brackets(plugins):
    (cell,) = plan(plugins, methods="corner[scale=2]", overrides=["scale=3"]).cells
    assert cell.params["scale"] == 3.0


def test_a_cell_that_is_asked_for_twice_is_one(plugins):
    assert len(plan(plugins, methods="corner,corner[scale=1]", datasets="toy,toy").cells) == 1


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ({"methods": "cornr"}, "Did you mean 'corner'?"),
        ({"datasets": "toi"}, "Did you mean 'toy'?"),
        ({"tier": "quik"}, "Did you mean 'quick'?"),
        ({"source": "reel"}, "Did you mean 'real'?"),
        ({"methods": "corner[scal=1]"}, "Did you mean 'scale'?"),
        ({"overrides": ["scal=1"]}, "Did you mean 'scale'?"),
        ({"overrides": ["corne.scale=1"]}, "Did you mean 'corner'?"),
        ({"methods": "corner[scale=big]"}, "must be of type float"),
        ({"methods": f"corner[scale={'9' * 400}]"}, "must be of type float"),
        ({"datasets": "toy[data_seed=1.5]"}, "must be of type int"),
        ({"datasets": "toy[data_seed=True]"}, "must be of type int"),
        ({"datasets": f"toy[data_seed={'9' * 400}]"}, "within 64 bits"),
        ({"methods": "corner[scale=\udcff]"}, "no text"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(plugins, words, hint):
    with pytest.raises(UserError) as error:
        plan(plugins, **words)
    assert hint in str(error.value)
