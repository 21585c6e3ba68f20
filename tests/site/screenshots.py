"""Pictures of all pages, for looking at the site by eye.

python tests/site/screenshots.py docs/_build/html folder [--width 1280] [--scheme light]
"""

import argparse
import base64
import functools
import http.server
import shutil
import tempfile
import threading
from pathlib import Path

from conftest import BROWSERS, FLAGS, QuietHandler
from selenium import webdriver

TALLEST = 4000


def open_browser(profile):
    """Open Chromium without a screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    for flag in (*FLAGS, "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def take(chrome, address, path, width):
    """Write one picture of a whole page, cut where it is very long."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    chrome.get(address)
    height = chrome.execute_script("return document.documentElement.scrollHeight")
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**size, "height": min(height, TALLEST)}
    )
    picture = chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(picture["data"]))


def main():
    """Serve the site and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--pages", nargs="*", help="all when none is named")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    pages = asked.pages or sorted(
        path.relative_to(asked.site).as_posix()
        for path in asked.site.rglob("*.html")
        if "_static" not in path.parts
    )
    handler = functools.partial(QuietHandler, directory=str(asked.site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        open_browser(profile) as chrome,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        chrome.get(f"{root}/index.html")
        for key in ("mode", "theme"):
            chrome.execute_script(f"localStorage.setItem('{key}', '{asked.scheme}')")
        for page in pages:
            name = page.removesuffix(".html").replace("/", "_")
            take(chrome, f"{root}/{page}", asked.folder / f"{name}.png", asked.width)
        server.shutdown()


if __name__ == "__main__":
    main()
