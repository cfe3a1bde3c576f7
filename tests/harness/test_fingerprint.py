"""A fingerprint follows the code that makes a number, through every helper, and nothing else."""

import shutil
import sys

import pytest

from cabench import fingerprint as module
from cabench import registry
from cabench.fingerprint import fingerprint, of_names, stale
from cabench.plan import make_plan

HELPER = "def scale(x):\n    return 2 * x\n"
PLUGIN = '''"""A method."""
from cabench.method import Method
from mine.helper import scale


class Mine(Method):
    name = "mine"

    def embed(self, x):
        return scale(x)
'''


def forget():
    """Read all files anew, as another process would."""
    for kept in (fingerprint, module._read, module._plugins):
        kept.cache_clear()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A package of someone else, with a plugin and its helper; returns its fingerprint when asked."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "helper.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def read(plugin=PLUGIN, helper=HELPER, tier="quick"):
        (folder / "plugin.py").write_text(plugin)
        (folder / "helper.py").write_text(helper)
        forget()
        return fingerprint(folder / "plugin.py", "mine.plugin", tier)

    return read


@pytest.mark.parametrize(
    "changed",
    [
        {"plugin": PLUGIN.replace("A method.", "Another docstring.")},
        {"plugin": PLUGIN + "\n# a comment\n"},
        {"plugin": PLUGIN.replace("scale(x)", "scale(\n            x\n        )")},
        {"helper": 'def scale(x):\n    """Twice."""\n    return 2 * x  # why\n'},
    ],
)
def test_comments_docstrings_and_layout_change_nothing(mine, changed):
    assert mine(**changed) == mine()


SETTINGS = {
    "quick": "{'*': {'epochs': 3}}",
    "smoke": "{'*': {'epochs': 1}}",
    "converged": "{'odir_subtypes': {'epochs': 9}}",
}


def with_settings(**tiers):
    return with_table("{" + ", ".join(f"'{tier}': {words}" for tier, words in (SETTINGS | tiers).items()) + "}")


def with_table(table):
    name = '    name = "mine"\n'
    return PLUGIN.replace(name, f"{name}    settings: ClassVar[Settings] = {table}\n")


@pytest.mark.parametrize("tier", ["smoke", "quick", "converged"])
def test_settings_count_for_the_tiers_that_use_them(mine, tier):
    changed = {
        at for at in SETTINGS if mine(with_settings(**{tier: "{}"}), tier=at) != mine(with_settings(), tier=at)
    }
    assert changed == {tier} | ({"converged"} if tier == "quick" else set())


def test_settings_that_are_no_literal_count_for_every_tier(mine):
    assert mine(with_table("PAPER"), tier="smoke") != mine(with_table("QUICK"), tier="smoke")


@pytest.mark.parametrize(
    "changed",
    [
        {"plugin": PLUGIN.replace("scale(x)", "scale(x) + 1")},
        {"helper": HELPER.replace("2 *", "3 *")},
    ],
)
def test_code_of_the_plugin_or_of_a_helper_changes_it(mine, changed):
    assert mine(**changed) != mine()


def test_a_shared_helper_of_cabench_counts_for_who_imports_it_and_for_nobody_else(tmp_path, monkeypatch):
    """_linear.py is shared by the linear methods: of a copy of all methods, exactly those change."""
    import cabench

    (root,) = {plugin.file.parent.parent for plugin in registry.find("method").values() if plugin.module}
    shutil.copytree(root / "methods", tmp_path / "methods", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cabench, "__path__", [str(tmp_path), *cabench.__path__])
    monkeypatch.setattr(cabench.__spec__, "submodule_search_locations", cabench.__path__)

    def all_of_them():
        forget()
        files = {file.stem: file for file in (tmp_path / "methods").glob("[a-z]*.py")}
        return {name: fingerprint(file, f"cabench.methods.{name}", "quick") for name, file in files.items()}

    before = all_of_them()
    helper = tmp_path / "methods" / "_linear.py"
    helper.write_text(helper.read_text() + "\nNEW = 1\n")
    after = all_of_them()
    changed = {name for name in before if before[name] != after[name]}
    expected = {file.stem for file in (root / "methods").glob("[a-z]*.py") if "methods._linear" in file.read_text()}
    assert changed == expected and len(expected) > 1


def test_the_losses_of_a_cpu_count_and_those_of_a_gpu_do_not(tmp_path, monkeypatch):
    source = registry.source

    def of(edited):
        """Return SepCLR's fingerprint once a line is added to some modules."""

        def found(name):
            file = source(name)
            if name not in edited:
                return file
            copy = tmp_path / f"{name}.py"
            copy.write_text(f"{file.read_text()}\nNEW = 1\n")
            return copy

        monkeypatch.setattr(registry, "source", found)
        forget()
        return fingerprint(source("cabench.methods.sepclr"), "cabench.methods.sepclr", "quick")

    backends = "cabench.losses.backends"
    assert of({f"{backends}.tiled.tiles"}) != of(()) == of({f"{backends}.triton", f"{backends}.compiled"})


def test_a_record_is_stale_by_the_plugin_that_changed():
    record = {"fingerprints": {"method": "a", "dataset": "b"}}
    assert stale(record, {"method": "a", "dataset": "b"}) == []
    assert stale(record, {"method": "x", "dataset": "b"}) == ["method"]
    assert stale(record, {"method": "x", "dataset": "y"}) == ["method", "dataset"]
    assert stale(record, {}) == []
    assert stale({}, {"method": "x"}) == []


@pytest.mark.parametrize("tier", ["smoke", "quick", "converged"])
def test_a_plan_and_a_record_give_a_cell_the_same_fingerprints(tier):
    forget()
    plan = make_plan("cvae", "cifar_mnist", "0", tier)
    (cell,) = plan.cells
    assert plan.fingerprints(cell) == of_names({"spec": vars(cell)})


def test_a_plugin_that_is_gone_or_no_python_makes_no_record_stale(mine, tmp_path, monkeypatch):
    today, known = mine(), registry.Plugin("method", "mine", tmp_path / "mine" / "plugin.py", "mine.plugin")
    monkeypatch.setattr(module, "_plugins", lambda kind: {"mine": known} if kind == "method" else {})
    record = {"spec": {"method": "mine", "dataset": "gone", "tier": "quick"}}
    assert of_names(record) == {"method": today}
    (tmp_path / "mine" / "helper.py").write_text("def broken(:")
    for kept in (fingerprint, module._read):
        kept.cache_clear()
    assert of_names(record) == {}
