"""What MkDocs does with this project besides building `docs/`: cards of plugins, and pages that lie elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

# Files outside of docs/ that are pages: where they lie, and their address.
ELSEWHERE = {"README.md": "index.md", "methods/README.md": "your_method.md"}
_ORIGINS = {address: file for file, address in ELSEWHERE.items()}
_LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Put the cards into the navigation, behind what mkdocs.yml has there."""
    sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
    from cards import pages

    config.cards = pages()
    titles = {"methods": "Methods", "datasets": "Data sets"}
    for folder, title in titles.items():
        (section,) = (entry[title] for entry in config.nav if title in entry)
        section += [{Path(a).stem: a} for a in config.cards if a.startswith(f"{folder}/") and a not in section]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    made = {address: (ROOT / file).read_text(encoding="utf-8") for file, address in ELSEWHERE.items()}
    for address, content in (made | config.cards).items():
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links that work in the repository to pages of the site; one to a file without a page becomes text."""
    address = page.file.src_uri
    if address in config.cards:
        return markdown
    here = dirname(_ORIGINS.get(address, f"docs/{address}"))

    def moved(link: re.Match[str]) -> str:
        picture, words, target, anchor = link.groups(default="")
        there = _address(normpath(join(here, target)))
        if there is None:
            return words
        there, _, own = there.partition("#")
        return f"{picture}[{words}]({relpath(there, dirname(address) or '.')}{anchor or (own and '#' + own)})"

    return _LINK.sub(moved, markdown)


def _address(file: str) -> str | None:
    """Return the address on the site of a file of the repository; None if it has none."""
    folder, _, name = file.rpartition("/")
    if file in ELSEWHERE:
        return ELSEWHERE[file]
    if folder in ("methods", "datasets"):
        return f"{file.removesuffix('.py')}.md"
    if folder == "cabench":
        return f"api.md#cabench.{name.removesuffix('.py')}"
    return file.removeprefix("docs/") if file.startswith("docs/") else None
