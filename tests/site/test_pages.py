"""Every page in a browser: no errors, pictures and formulas that show, narrow screens."""

import pytest

BROKEN_PICTURES = """
return [...document.querySelectorAll('img')]
    .filter(image => !image.complete || image.naturalWidth === 0)
    .map(image => image.getAttribute('src'))
"""
PICTURES_WITHOUT_WORDS = """
return [...document.querySelectorAll('article img')]
    .filter(image => !image.alt.trim()).map(image => image.getAttribute('src'))
"""
UNDRAWN_FORMULAS = r"""
const text = [...document.querySelectorAll('article p, article td, article li')]
    .filter(node => !node.closest('pre, code')).map(node => {
        const copy = node.cloneNode(true);
        copy.querySelectorAll('pre, code').forEach(code => code.remove());
        return copy.textContent });
return text.filter(text => /\\(frac|sin|cos|sum|mathbf|lVert)|\$[^ $][^$]*\$/.test(text))
"""
# Elements that stick out of a narrow screen and do not lie in a box that scrolls by itself.
STICKING_OUT = """
const held = ['auto', 'scroll', 'hidden', 'clip'];
const scrolls = node => node !== document.body
    && (held.includes(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
return document.documentElement.scrollWidth <= window.innerWidth ? [] :
    [...document.querySelectorAll('body *')]
        .filter(node => node.getBoundingClientRect().right > window.innerWidth + 1)
        .filter(node => !scrolls(node))
        .map(node => node.tagName + '.' + node.className).slice(0, 5)
"""
SMALL_TEXT = """
return [...document.querySelectorAll('article p, article li, article td')]
    .filter(node => node.offsetParent && parseFloat(getComputedStyle(node).fontSize) < 14)
    .filter(node => node.textContent.trim() && !node.closest('.sphx-glr-signature, footer'))
    .map(node => node.textContent.trim().slice(0, 40)).slice(0, 3)
"""


def test_pages_load_without_errors(browser, root, pages):
    browser.get(f"{root}/index.html")
    browser.get_log("browser")
    errors = []
    for page in pages:
        browser.get(f"{root}/{page}")
        errors += [
            f"{page}: {entry['message']}"
            for entry in browser.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
        ]
    assert not errors, "\n".join(errors)


def test_pictures_show_and_say_in_words_what_they_show(browser, root, pages):
    faults = []
    for page in pages:
        browser.get(f"{root}/{page}")
        faults += [f"{page}: broken {name}" for name in browser.execute_script(BROKEN_PICTURES)]
        faults += [
            f"{page}: no alt text at {name}"
            for name in browser.execute_script(PICTURES_WITHOUT_WORDS)
        ]
    assert not faults, "\n".join(faults)


def test_gallery_shows_a_thumbnail_a_page_and_each_page_a_figure(browser, root, pages):
    own = [page for page in pages if page.startswith("auto_gallery/plot_")]
    browser.get(f"{root}/auto_gallery/index.html")
    shown = browser.execute_script(
        "return [...document.querySelectorAll('.sphx-glr-thumbcontainer img')]"
        ".filter(image => image.naturalWidth > 0 && !image.src.includes('no_image')).length"
    )
    assert shown == len(own) >= 13
    for page in own:
        browser.get(f"{root}/{page}")
        figures = browser.execute_script(
            "return [...document.querySelectorAll('.sphx-glr-single-img, .sphx-glr-multi-img')]"
            ".filter(image => image.naturalWidth > 0).length"
        )
        assert figures, f"{page} shows no figure"


def test_formulas_are_drawn(browser, root, pages):
    raw = []
    for page in pages:
        browser.get(f"{root}/{page}")
        raw += [f"{page}: {text}" for text in browser.execute_script(UNDRAWN_FORMULAS)]
    assert not raw, "\n".join(raw)
    browser.get(f"{root}/user_guide/coordinates.html")
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('math')]"
        ".map(node => node.getBoundingClientRect().width)"
    )
    assert sizes
    assert min(sizes) > 0


@pytest.mark.parametrize("width", [400, 1280])
def test_pages_fit_the_screen(browser, root, pages, screen, width):
    screen(width)
    faults = []
    for page in pages:
        browser.get(f"{root}/{page}")
        faults += [f"{page}: {node} sticks out" for node in browser.execute_script(STICKING_OUT)]
        faults += [f"{page}: small text {text!r}" for text in browser.execute_script(SMALL_TEXT)]
    assert not faults, "\n".join(faults)
