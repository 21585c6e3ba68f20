"""Every page in a browser: no errors, pictures and formulas that show, text that can be read."""

import functools
from typing import NamedTuple

import pytest

from tests.site import looks


class Screen(NamedTuple):
    """Width of a screen, its colour scheme, and what pages are asked there."""

    width: int
    scheme: str
    scripts: tuple[str, ...]


SCREENS = {
    "desk": Screen(
        1280,
        "light",
        (
            "BROKEN_PICTURES",
            "PICTURES_WITHOUT_WORDS",
            "UNDRAWN_FORMULAS",
            "STICKING_OUT",
            "SMALL_TEXT",
            "FAINT_TEXT",
        ),
    ),
    "phone": Screen(400, "light", ("STICKING_OUT", "SMALL_TEXT")),
    "night": Screen(1280, "dark", ("FAINT_TEXT",)),
}


@pytest.fixture(scope="module")
def faults_on(browser, root, pages, screen):
    """Function that visits each page once on one screen and returns faults by what found them."""

    @functools.cache
    def visit(name):
        chosen = SCREENS[name]
        screen(chosen.width, chosen.scheme)
        browser.get_log("browser")
        found = {what: [] for what in ("CONSOLE", "SCHEME", *chosen.scripts)}
        for page in pages:
            browser.get(f"{root}/{page}")
            told = {what: browser.execute_script(getattr(looks, what)) for what in chosen.scripts}
            told["CONSOLE"] = [
                entry["message"]
                for entry in browser.get_log("browser")
                if entry["level"] in ("SEVERE", "WARNING")
            ]
            scheme = browser.execute_script("return document.documentElement.dataset.theme")
            told["SCHEME"] = [scheme] if scheme != chosen.scheme else []
            for what, faults in told.items():
                found[what] += [f"{page}: {fault}" for fault in faults]
        return found

    return visit


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (name, what)
        for name, chosen in SCREENS.items()
        for what in ("CONSOLE", "SCHEME", *chosen.scripts)
    ],
)
def test_pages_are_free_of(what, name, faults_on):
    faults = faults_on(name)[what]
    assert not faults, "\n".join(faults)


def test_gallery_shows_a_thumbnail_a_page_and_each_page_its_figure_first(browser, root, pages):
    own = [page for page in pages if page.startswith("auto_gallery/plot_")]
    browser.get(f"{root}/auto_gallery/index.html")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.sphx-glr-thumbcontainer img')]"
        ".filter(image => image.naturalWidth > 0 && !image.src.includes('no_image')).length"
    )
    assert shown == len(own) >= 13
    for page in own:
        browser.get(f"{root}/{page}")
        before_code = browser.execute_script(
            "const figure = document.querySelector('article img.sphx-glr-single-img');"
            "const code = document.querySelector('article div.highlight');"
            "return figure && figure.naturalWidth > 0"
            " && figure.compareDocumentPosition(code) & Node.DOCUMENT_POSITION_FOLLOWING"
        )
        assert before_code, f"{page} shows no figure before its code"
