"""llms.txt, the summary for language models, is complete, true and in the form it promises."""

import importlib
import re
from pathlib import Path

import pytest

import geofeat

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "llms.txt").read_text(encoding="utf-8")
LINKS = re.findall(r"\[[^\]]+\]\(([^)]+)\)", TEXT)
ROOMS = {"datasets", "evaluation", "exceptions", "plotting"}


def public_names():
    yield from set(geofeat.__all__) - ROOMS
    for room in ROOMS & set(geofeat.__all__):
        yield from importlib.import_module(f"geofeat.{room}").__all__


def sources_of(page):
    """Files that Sphinx may make a page of the site from."""
    stem = page.removesuffix(".html")
    if stem == "auto_gallery/index":
        return [DOCS / "gallery" / "GALLERY_HEADER.rst"]
    if stem.startswith("auto_gallery/"):
        return [DOCS / "gallery" / f"{Path(stem).name}.py"]
    return [DOCS / f"{stem}{suffix}" for suffix in (".md", ".rst")]


@pytest.mark.parametrize("name", sorted(public_names()))
def test_every_public_name_is_told(name):
    assert re.search(rf"`{name}`", TEXT), f"llms.txt does not name {name}"


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_every_link_leads_to_a_page_of_the_site(link):
    assert link.endswith(".html"), "links are relative to the root of the built site"
    assert any(source.exists() for source in sources_of(link))


def test_every_written_page_is_linked():
    pages = {
        page.relative_to(DOCS).with_suffix(".html").as_posix()
        for folder in (DOCS, DOCS / "user_guide", DOCS / "coming_from")
        for page in folder.glob("*.md")
    }
    only_lead_on = {"index.html", "start.html", "about.html"}
    assert pages - only_lead_on <= set(LINKS)


def test_it_has_the_form_of_llmstxt_org():
    lines = TEXT.splitlines()
    assert lines[0] == "# geofeat"
    assert lines[2].startswith("> ")
    assert [line for line in lines if line.startswith("# ")] == ["# geofeat"]
    assert [line for line in lines if line.startswith("## ")][-1] == "## Optional"


def test_its_example_runs():
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    names = {}
    exec(code, names)
    assert names["scores"].shape == (5,)
