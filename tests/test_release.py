"""What a release says of itself in several places is the same in all of them."""

import re
from pathlib import Path

import pytest

import sktopo

ROOT = Path(__file__).parents[1]
TELLING = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TELLING += sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {sktopo.__version__}\n" in text


def test_a_released_version_has_a_dated_section_of_changes():
    released = sktopo.__version__.partition(".dev")
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGES.md").read_text(), flags=re.M)
    dated = [
        head for head in heads if re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", head)
    ]
    assert all(head in dated for head in heads if head != "Unreleased")
    if not released[1]:
        assert dated[0].startswith(f"{released[0]} - ")


@pytest.mark.parametrize("page", TELLING, ids=lambda path: path.name)
def test_what_is_to_be_made_can_be_made(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    asked = re.findall(r"(?:`|run: |^)make ([\w-]+)", page.read_text(), flags=re.M)
    assert set(asked) <= set(targets)
