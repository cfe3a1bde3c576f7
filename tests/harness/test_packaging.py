"""The package as a wheel, editable, and run from the checkout's root beside an installed wheel."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tree, so that builds leave nothing behind in it."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("cabench", "methods", "datasets", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def install(checkout, target, *options):
    """Install without dependencies into a folder of its own, which `python` below treats as a site folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, *options], check=True, cwd=checkout, capture_output=True)


def run(code, site, cwd):
    """Run code with `site` before this environment's own packages, and the working folder first of all."""
    head = f"import sys, site; known = list(sys.path); site.addsitedir({str(site)!r})\n"
    head += "sys.path[:] = [''] + [p for p in sys.path if p not in known] + known\n"
    head += "sys.meta_path.sort(key=lambda finder: '__editable__' not in str(finder))\n"
    done = subprocess.run([sys.executable, "-c", head + code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CHECK = (
    "import cabench.methods.constant, cabench.datasets.cifar_mnist\n"
    "from cabench import registry\n"
    "print(len(registry.find('dataset')), cabench.methods.constant.__file__)"
)


@pytest.mark.parametrize("mode", ["wheel", "editable", "strict"])
@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_it_works_however_it_is_installed_and_wherever_it_is_run(checkout, tmp_path, mode, where):
    options = {
        "wheel": ["."],
        "editable": ["-e", "."],
        "strict": ["-e", ".", "--config-settings", "editable_mode=strict"],
    }[mode]
    install(checkout, tmp_path / "site", *options)
    (tmp_path / "elsewhere").mkdir()
    out = run(CHECK, tmp_path / "site", checkout if where == "root" else tmp_path / "elsewhere")
    assert out.startswith("6 ")
    if mode == "wheel" and where == "elsewhere":
        assert str(tmp_path / "site") in out


def test_datasets_of_hugging_face_is_never_shadowed(checkout, tmp_path):
    install(checkout, tmp_path / "site", ".")
    other = tmp_path / "site" / "datasets"
    other.mkdir()
    (other / "__init__.py").write_text("load_dataset = 'theirs'\n")
    assert run("import datasets; print(datasets.load_dataset)", tmp_path / "site", checkout) == "theirs"
    assert not (tmp_path / "site" / "methods").exists()
