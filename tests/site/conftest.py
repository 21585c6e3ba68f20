"""A built site, a server on this machine, and a browser without a screen. `make docs-test` runs it.

The site is the folder that GEOFEAT_SITE names. Without it, or without Chromium, tests skip.
"""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
    # Pages must need nothing but themselves: every other host is unknown.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def site():
    """Folder of the built site."""
    if not (named := os.environ.get("GEOFEAT_SITE")):
        pytest.skip("GEOFEAT_SITE names no built site: run `make docs-test`")
    folder = Path(named).resolve()
    assert (folder / "index.html").exists(), f"no site in {folder}: run `make docs`"
    return folder


@pytest.fixture(scope="session")
def pages(site):
    """Addresses of all pages below the site's root."""
    return sorted(
        path.relative_to(site).as_posix()
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    )


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="session")
def root(site):
    """Address of a server that serves the site, for as long as the tests run."""
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium without a screen, driven by Selenium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium or chromedriver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    if os.geteuid() == 0:  # Chromium refuses to run its sandbox as root
        options.add_argument("--no-sandbox")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


@pytest.fixture(scope="module")
def screen(browser, root):
    """Set the width of the screen and the colour scheme; undone after the module."""

    def set_screen(width, scheme="light"):
        browser.get(f"{root}/index.html")
        browser.execute_script(
            "for (const key of ['mode', 'theme']) localStorage.setItem(key, arguments[0])", scheme
        )
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )

    yield set_screen
    set_screen(1280)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
