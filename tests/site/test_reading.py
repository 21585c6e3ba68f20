"""What a reader does: search for a name, copy an example, switch to dark."""

import pytest

READ_CLIPBOARD = "navigator.clipboard.readText().then(arguments[0], arguments[0])"


def wait_for(browser, script):
    """Return what a script returns as soon as it is something."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda chrome: chrome.execute_script(script))


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("SatCLIP", "geofeat.SatCLIPEmbedder.html"),
        ("AlphaEarth", "geofeat.AlphaEarthSource.html"),
        ("buffer", "evaluation.html"),
    ],
)
def test_search_finds(browser, root, words, page):
    browser.get(f"{root}/search.html?q={words}")
    wait_for(browser, "return document.querySelector('#search-results p.search-summary')")
    links = wait_for(
        browser,
        "const links = [...document.querySelectorAll('#search-results li a')].map(a => a.href);"
        f"return links.some(link => link.includes('{page}')) && links",
    )
    assert links


def test_search_is_opened_by_its_button(browser, root):
    browser.get(f"{root}/index.html")
    browser.find_element("css selector", "button.search-button__button").click()
    field = wait_for(browser, "return document.querySelector('dialog[open] input[type=search]')")
    field.send_keys("SatCLIP\n")
    wait_for(browser, "return location.pathname.endsWith('/search.html')")
    assert "SatCLIP" in browser.current_url


def test_copied_code_runs_as_it_is(browser, root):
    from selenium import webdriver

    browser.get(f"{root}/index.html")
    browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"origin": root, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    button = wait_for(browser, "return document.querySelector('div.highlight button.copybtn')")
    block = browser.find_element("css selector", "div.highlight")
    # Only a true click gives the page the focus that the clipboard asks for.
    webdriver.ActionChains(browser).move_to_element(block).move_to_element(button).click().perform()
    browser.set_script_timeout(10)
    code = browser.execute_async_script(READ_CLIPBOARD)
    assert code.startswith("from sklearn.ensemble import RandomForestClassifier\n")
    assert ">>>" not in code
    assert "place     0.4" not in code, "the output was copied too"
    compile(code, "copied from the page", "exec")


def test_colour_scheme_switches(browser, root, screen):
    screen(1280)
    browser.get(f"{root}/index.html")
    grounds = []
    for mode in ("dark", "light"):
        browser.execute_script(
            f"document.querySelector('.theme-change-button[data-mode={mode}]').click()"
        )
        wait_for(browser, f"return document.documentElement.dataset.theme === '{mode}'")
        grounds.append(
            browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        )
    assert grounds[0] != grounds[1]
