"""Every plugin has its page on the site, with all that it says of itself, shown as it is; MkDocs is not needed."""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown import markdown
from processes import run

from cabench import registry
from cabench.codes import TARGET
from cabench.spec import signature_defaults

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOSTILE = "<script>alert(1)</script> a|b *c* _d_ [e](javascript:1) https://x.y/<img/src=1/onerror=2> \\<i> `f|<b>`"
PLUGIN = """
from cabench.method import Method

class Plugin(Method):
    {doc!r}

    name = "plugin"
    title = {hostile!r}
    paper = {hostile!r}
    kind = {hostile!r}
    supervision = "none"
    settings = {{"smoke": {{"*": {{"word": {hostile!r}}}}}}}

    def __init__(self, *, word={hostile!r}):
        pass

    def fit(self, train, validation=None, context=None):
        pass

    def embed(self, x):
        pass
"""


class Shown(HTMLParser):
    """What a browser makes of a page: its tags, its text, and the texts of the cells of each row."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.rows, self._in_cell = set(), "", [], False
        self.feed(markdown(page, extensions=["tables", "fenced_code"]))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)
        assert not dict(attributes).get("href", "").startswith("javascript")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell &= tag not in ("td", "th")

    def handle_data(self, text):
        self.text += text
        if self._in_cell:
            self.rows[-1][-1] += text


@pytest.fixture(scope="module")
def cards():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(DOCS)
        import cards

        yield cards


@pytest.fixture(scope="module")
def pages(cards):
    return cards.pages()


PLUGINS = [(folder, *found) for kind, folder in registry.FOLDERS.items() for found in registry.find(kind).items()]


@pytest.mark.parametrize(("folder", "name", "plugin"), PLUGINS, ids=[name for _, name, _ in PLUGINS])
def test_a_plugin_has_a_page_with_its_parameters_and_settings_or_factors(pages, folder, name, plugin):
    shown, cls = Shown(pages[f"{folder}/{name}.md"]), plugin.load()
    assert plugin.card["title"] in shown.text
    lines = {tuple(row[:2]) for row in shown.rows}
    for parameter, default in signature_defaults(cls).items():
        assert (parameter, str(default)) in lines
    if plugin.kind == "method":
        for tier, table in cls.settings.items():
            for dataset, values in table.items():
                said = ", ".join(f"{key}={value}" for key, value in values.items())
                assert [tier, "every one" if dataset == "*" else dataset, said] in shown.rows
    else:
        for factor in (*cls.factors, TARGET):
            (row,) = (row for row in shown.rows if row[:2] == [factor.name, factor.home])
            assert row[5] == f"{factor.chance:.2f}" and all(one in row[3] for one in factor.classes or ())
        for tier, numbers in cls.sizes.items():
            assert [tier, *map(str, numbers)] in shown.rows


def test_every_method_stands_in_the_overview(pages):
    shown = Shown(pages["methods/index.md"])
    found = {(row[0], row[1]) for row in shown.rows}
    assert {(name, plugin.card["title"]) for name, plugin in registry.find("method").items()} <= found


def plain(text):
    """Without backticks, which Markdown may take for code, and with single blanks."""
    return " ".join(text.replace("`", "").split())


@pytest.mark.parametrize("words", [HOSTILE, "a `` b ` | <u>"])
def test_hostile_words_are_shown_as_they_are(cards, tmp_path, monkeypatch, words):
    doc = f"{words}\n\nArgs:\n    word: {words}\n"
    (tmp_path / "plugin.py").write_text(PLUGIN.format(hostile=words, doc=doc))
    made = registry.read("method", tmp_path / "plugin.py")
    monkeypatch.setattr(registry, "find", lambda kind: {"plugin": made} if kind == "method" else {})
    page, overview = (Shown(cards.pages()[f"methods/{name}.md"]) for name in ("plugin", "index"))
    for shown in (page, overview):
        assert shown.tags <= {"h1", "h2", "p", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "a"}
    said = plain(words)
    assert plain(page.text).count(said) == 7  # title, paper, kind, description, default, meaning, setting
    rows = [[plain(cell) for cell in row] for row in page.rows + overview.rows]
    assert ["word", said, "", said] in rows and ["smoke", "every one", f"word={said}"] in rows
    assert ["paper", said] in rows and ["kind", said] in rows
    assert ["plugin", said, said, "nothing", "method"] in rows


def test_the_pages_are_the_same_where_only_numpy_and_click_are_installed(pages, tmp_path):
    """As `tox -e docs` makes them: without torch, and without MkDocs itself."""
    done = run([sys.executable, Path(__file__).with_name("pages_without.py"), DOCS], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pages
