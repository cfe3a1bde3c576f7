"""Who may import whom (docs/design.md)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [
    {"errors", "seeds", "params", "spec", "codes", "yardstick"},
    {"dataset", "difficulty", "prepare", "prepared", "fetch"},
    {
        "method",
        "registry",
        "card",
        "fingerprint",
        "provenance",
        "store",
        "model_file",
        "plan",
        "memory",
        "clock",
        "checkpoint",
        "claim",
    },
    {"losses", "nets", "augment"},
    {"isolation", "player", "replay", "loop", "train", "vae", "metrics"},
    {"codes_file", "cost", "swaps"},
    {"command", "measure", "cell", "worker", "execute", "jobs", "status", "stats", "study", "profiling"},
    {"testing"},
    {"report"},
    {"api", "compare"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(file):
    """Return the parts of cabench that a file imports at run time."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cabench":
            parts = node.module.split(".")[1:2]
            yield from parts or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("cabench."))


FILES = sorted((ROOT / "cabench").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_never_point_upwards(file):
    own = file.relative_to(ROOT / "cabench").parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for name in imported(file):
        if name not in ("__version__",):
            assert LEVEL[name] <= LEVEL[own], f"{own} imports {name}"


ALLOWED = {
    "methods": {
        "codes",
        "method",
        "params",
        "train",
        "vae",
        "errors",
        "seeds",
        "losses",
        "nets",
        "augment",
        "methods",
    },
    "datasets": {"codes", "dataset", "errors", "seeds", "datasets"},
}


@pytest.mark.parametrize("folder", ALLOWED)
def test_plugins_import_contracts_and_parts_only(folder):
    for file in (ROOT / folder).rglob("*.py"):
        assert set(imported(file)) <= ALLOWED[folder], file


def test_a_public_plugin_imports_no_other_public_plugin():
    for folder in ALLOWED:
        for file in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"cabench.{folder}"):
                    names = node.module.split(".")[2:] or [alias.name for alias in node.names]
                    assert names[0].startswith("_"), f"{file} imports {node.module}"


def test_the_harness_names_no_plugin():
    names = {f.stem for folder in ALLOWED for f in (ROOT / folder).glob("*.py") if not f.name.startswith("_")}
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in names, f"{file} names {node.value}"


def test_the_plugin_folders_shadow_nobody():
    assert not list(ROOT.glob("methods/__init__.py")) + list(ROOT.glob("datasets/**/__init__.py"))
