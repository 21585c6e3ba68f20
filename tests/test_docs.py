"""The documentation names everything public, and its examples run."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import geofeat

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = doctest.DocTestParser().get_doctest(
        page.read_text(), {}, page.name, str(page), lineno=0
    )
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert outcome.failed == 0


def test_the_user_guide_has_examples_on_every_page():
    for page in (DOCS / "user_guide").glob("*.md"):
        if page.name != "index.md":
            assert ">>>" in page.read_text(), f"{page.name} shows no example"
            assert "## References" in page.read_text(), f"{page.name} gives no sources"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
