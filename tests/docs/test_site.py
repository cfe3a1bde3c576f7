"""The documentation site in a browser; needs mkdocs-material, mkdocstrings, chromium and playwright."""

import functools
import http.server
import os
import re
import sys
import threading
from pathlib import Path

import pytest
from browsing import IN_A_BROWSER
from processes import ROOT, run

SHOTS = Path(os.environ.get("CABENCH_SHOTS", "/nonexistent"))
PAGES = ("index", "tutorial", "methods/index", "methods/sepclr", "datasets/odir_subtypes", "gallery", "api")
pytestmark = IN_A_BROWSER


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site that `tox -e docs` builds."""
    for package in ("material", "mkdocstrings"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    made = tmp_path_factory.mktemp("site")
    done = run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", made], ROOT)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(params=["files", "server"])
def address(request, site):
    if request.param == "files":
        yield site.as_uri()
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Open a page; at the end nothing may have gone wrong and nothing been asked of another host."""
    contexts, wrong = [], []

    def visit(page, width=1280):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda one: wrong.extend([one.url] * (not one.url.startswith((address, "data:")))))
        tab.goto(f"{address}/{page}.html", wait_until="networkidle")
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_the_window_and_asks_nothing_of_others(visit, page, width):
    tab = visit(page, width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    broken = "all => all.filter(one => one.getClientRects().length > 1).map(one => one.textContent)"
    assert [name for name in tab.locator("table code").evaluate_all(broken) if " " not in name] == []
    if SHOTS.is_dir():
        tab.screenshot(path=SHOTS / f"site_{page.replace('/', '_')}_{width}.png", full_page=True)


@pytest.mark.parametrize("page", ["index", "methods/sepclr"])
def test_a_word_is_found(visit, page):
    tab = visit(page)
    tab.locator(".md-search__input").click()
    tab.keyboard.type("confounding", delay=20)
    tab.locator(".md-search-result__item").first.wait_for()


def test_links_of_the_readme_lead_to_pages(site):
    """Those of GitHub, which are files of the repository, become pages or, where there is none, words."""
    shown = (site / "index.html").read_text()
    for name in re.findall(r"\]\(docs/([\w/]+)\.md\)", (ROOT / "README.md").read_text()):
        name = name.replace("README", "index")  # a folder's first page
        assert f'<a href="{name}.html">' in shown
        assert (site / f"{name}.html").is_file()
