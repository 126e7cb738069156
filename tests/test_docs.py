"""Every block of Python in the guide and in README runs, page by page."""

import re
from pathlib import Path

import pytest

import sktopo

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# what is made of lists and results, and what a build leaves behind
MADE = {
    *("api.rst", "guide/measures_list.rst", "comparison.rst", "replication.rst"),
    *("objectives.rst", "benchmarks.rst"),
}
LEFT = ("_build", "auto_examples", "generated", "sg_execution_times.rst")
PAGES = [ROOT / "README.md"] + [
    page
    for page in sorted(DOCS.rglob("*.rst"))
    if (name := page.relative_to(DOCS)).parts[0] not in LEFT
    and name.as_posix() not in MADE
]
IN_RST = re.compile(
    r"^(?P<indent> *)\.\. code-block:: python\n(?:(?P=indent) +:.*\n)*"
    r"(?P<code>(?:\n|(?P=indent) +.*\n)+)",
    flags=re.MULTILINE,
)
IN_MARKDOWN = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """The code of a page: the number of the line before each block, and the block."""
    text = page.read_text()
    pattern = IN_MARKDOWN if page.suffix == ".md" else IN_RST
    for found in pattern.finditer(text):
        lines = found["code"].split("\n")
        indent = min(len(li) - len(li.lstrip()) for li in lines if li.strip())
        code = "\n".join(line[indent:] for line in lines)
        yield text.count("\n", 0, found.start("code")), code


WITH_CODE = [page for page in PAGES if list(blocks(page))]


@pytest.mark.usefixtures("in_short", "coarse_figures")
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_code_of_a_page_runs(page):
    known = {"__name__": "__main__"}
    for line, code in blocks(page):
        exec(compile("\n" * line + code, str(page), "exec"), known)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_of_all_its_blocks_what_they_are(page):
    text = page.read_text()
    if page.suffix == ".md":
        kinds = re.findall(r"^```(\w*)$", text, flags=re.MULTILINE)[::2]
        assert set(kinds) <= {"python", "console", "text"}
    else:
        kinds = re.findall(r"^ *\.\. code-block::(.*)$", text, flags=re.MULTILINE)
        assert {kind.strip() for kind in kinds} <= {"python", "console", "text"}
        assert not re.search(r"^(?! *\.\. ).*::$", text, flags=re.MULTILINE)
    assert len(re.findall(r"(?:code-block:: |^```)python$", text, re.M)) == len(
        list(blocks(page))
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_is_there(page):
    names = re.findall(r"`~?(sktopo(?:\.\w+)+)`", page.read_text())
    for name in names:
        thing = sktopo
        for part in name.split(".")[1:]:
            thing = getattr(thing, part)


def test_code_that_fails_is_found(tmp_path):
    page = tmp_path / "page.rst"
    page.write_text("A\n=\n\n.. code-block:: python\n\n   1 / 0\n\nText.\n")
    ((line, code),) = blocks(page)
    with pytest.raises(ZeroDivisionError) as told:
        exec(compile("\n" * line + code, str(page), "exec"), {})
    assert told.traceback[-1].lineno + 1 == 6


def test_pages_are_found():
    names = {name_of(page) for page in WITH_CODE}
    assert {"README.md", "docs/getting_started.rst", "docs/guide/losses.rst"} <= names
