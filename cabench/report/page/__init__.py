"""The report as one HTML file that needs nothing else: tables, and behind each method the runs it stands on."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cabench.errors import UserError
from cabench.report.frame import newest
from cabench.report.gather import Report
from cabench.report.page.data import data, rule_for
from cabench.report.page.tables import boards

NO_FIGURES: Mapping[str, bytes] = MappingProxyType({})


def page(report: Report, figures: Mapping[str, bytes] = NO_FIGURES) -> str:
    """Return a self-contained HTML page.

    Args:
        report: what to show; an empty one gives a page that says so.
        figures: caption -> PNG or SVG file.

    Raises:
        UserError: a figure is neither PNG nor SVG.
    """
    records = newest(report.records)
    rule, script = rule_for(records), _part("page.js")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = template.from_string(_part("page.html")).render(
        boards=boards(report, records),
        records=len(records),
        unread=report.unread,
        figures={name: _data_uri(name, content) for name, content in figures.items()},
        rule=rule,
        data=Markup(data(records, rule)),
        style=Markup(_part("page.css")),
        script=Markup(script),
        # The browser runs this script and no other, whatever a record's texts hold.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return str(text)


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _data_uri(name: str, content: bytes) -> str:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
    elif b"<svg" in content[:1000]:
        kind = "svg+xml"
    else:
        raise UserError(f"The figure '{name}' is neither PNG nor SVG.")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
