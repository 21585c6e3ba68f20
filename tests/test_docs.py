"""The documentation names everything public, and its examples run."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import geofeat

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
README = DOCS.parent / "README.md"

sys.path.insert(0, str(DOCS / "_extensions"))
import page_code  # noqa: E402


def public_names():
    yield from (f"geofeat.{name}" for name in geofeat.__all__)
    for room in ("datasets", "evaluation", "exceptions", "plotting"):
        module = importlib.import_module(f"geofeat.{room}")
        yield from (f"geofeat.{room}.{name}" for name in module.__all__)


def documented_names():
    """Names listed by api.rst, each with the module named above it."""
    names, module = set(), ""
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. (?:currentmodule|module|automodule):: (\S+)", line):
            module = found[1]
            names.add(module)
        elif found := re.match(r"   (\w+)$", line):
            names.add(f"{module}.{found[1]}")
    return names


def test_every_public_name_is_documented():
    assert set(public_names()) <= documented_names()


def test_every_documented_name_is_public():
    assert documented_names() - {"geofeat"} <= set(public_names())


@pytest.mark.parametrize(
    "page", [*PAGES, README], ids=lambda page: page.relative_to(DOCS.parent).as_posix()
)
def test_code_runs_and_prints_what_it_says(page):
    text = page.read_text()
    failures = page_code.run_page(text, page.name)
    assert not failures, "\n".join(failures)


def test_no_code_is_hidden_from_the_runner():
    for page in [*PAGES, README]:
        fences = re.findall(r"^[ ]*[`:]{3,}(?:\{code-block\} )?python\b", page.read_text(), re.M)
        assert len(fences) == len(page_code.python_blocks(page.read_text())), page.name


def test_the_runner_tells_what_fails():
    wrong = "```python\n>>> 1 + 1\n3\n\n```\n"
    broken = "```python\nx = 1 / 0\n```\n"
    excused = "<!-- not run: needs a network -->\n" + broken
    assert "Expected:\n    3" in page_code.run_page(wrong, "page")[0]
    assert "ZeroDivisionError" in page_code.run_page(broken, "page")[0]
    assert page_code.run_page(excused, "page") == []
    assert page_code.python_blocks(excused)[0].reason == "needs a network"


def test_the_user_guide_has_examples_on_every_page():
    for page in (DOCS / "user_guide").glob("*.md"):
        if page.name != "index.md":
            assert ">>>" in page.read_text(), f"{page.name} shows no example"
            assert "## References" in page.read_text(), f"{page.name} gives no sources"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
