"""What the documents show is what the code takes."""

import re
from pathlib import Path

from cabench.study import read_study, study_plan

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_study_in_the_docs_is_the_one_that_is_shipped(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "studies.md").read_text(), re.DOTALL)
    (tmp_path / "study.yaml").write_text(text)
    shown = read_study(tmp_path / "study.yaml")
    shipped = read_study(DOCS.parent / "results" / "studies" / "contamination.yaml")
    assert shown == shipped and len(study_plan(shown).cells) == 18


def test_every_picture_is_there_and_small():
    for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]:
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            picture = page.parent / link
            assert picture.exists(), f"{page.name} shows {link}"
            assert picture.stat().st_size <= 300_000, link
