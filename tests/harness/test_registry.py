import subprocess
import sys

import pytest

from cabench import registry
from cabench.errors import UserError


def test_every_shipped_plugin_can_be_listed_and_loaded():
    for kind in ("method", "dataset"):
        plugins = registry.find(kind)
        assert plugins
        for plugin in plugins.values():
            assert plugin.error is None
            assert plugin.card["title"]
            assert plugin.load().name == plugin.name


def test_a_plugin_file_is_found_with_its_card(plugins):
    plugin = registry.get("method", "corner", [plugins / "corner.py"])
    assert plugin.card["title"] == "The corner"
    assert plugin.load()(scale=2.0).scale == 2.0
    assert "corner" not in registry.find("dataset", [plugins / "corner.py"])


def test_a_broken_plugin_is_listed_with_its_reason(tmp_path):
    file = tmp_path / "torn.py"
    file.write_text("class Broken(\n")
    plugin = registry.find("method", [file])["torn"]
    assert "SyntaxError" in plugin.error
    with pytest.raises(UserError, match="cannot be used"):
        plugin.load()


def test_a_plugin_that_cannot_be_imported_says_why(tmp_path):
    file = tmp_path / "needy.py"
    file.write_text('import no_such_package\nclass A:\n    name = "needy"\n')
    with pytest.raises(UserError, match="no_such_package"):
        registry.get("method", "needy", [file]).load()


def test_an_entry_point_is_found_without_importing_it(tmp_path):
    (tmp_path / "outside_plugin.py").write_text(
        'raise RuntimeError("imported")\nclass Outside:\n    name = "outside"\n    title = "From outside"\n'
    )
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cabench.methods]\noutside = outside_plugin:Outside\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from cabench import registry\n"
    code += "print(registry.find('method')['outside'].card['title'])"
    import cabench

    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=next(iter(cabench.__path__)) + "/..",
    )
    assert out.stdout.strip() == "From outside"


def test_two_plugins_of_one_name_are_refused(tmp_path, plugins):
    twin = tmp_path / "twin.py"
    twin.write_text((plugins / "corner.py").read_text())
    with pytest.raises(UserError, match="Two methods are called 'corner'"):
        registry.find("method", [plugins / "corner.py", twin])
