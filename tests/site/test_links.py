"""Links within the site lead somewhere, and every public name has its page. Needs no browser."""

import inspect
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import geofeat


class Links(HTMLParser):
    """Collects the targets of a page's links and pictures, and the names of its places."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.places = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note one element."""
        values = dict(attrs)
        for name in ("href", "src"):
            if values.get(name):
                self.targets.add(values[name])
        self.places |= {values[name] for name in ("id", "name") if values.get(name)}


def test_links_lead_somewhere(site, pages):
    read = {page: Links((site / page).read_text(encoding="utf-8")) for page in pages}
    faults = []
    for page, links in read.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if parts.scheme not in ("https", "mailto", "data"):
                    faults.append(f"{page}: {target}")
                continue
            path = (site / page).parent / unquote(parts.path) if parts.path else site / page
            if not path.exists():
                faults.append(f"{page}: {target} is not there")
                continue
            other = read.get(path.resolve().relative_to(site).as_posix())
            if parts.fragment and other and unquote(parts.fragment) not in other.places:
                faults.append(f"{page}: {target} names no place")
    assert not faults, "\n".join(sorted(faults))


def test_nothing_is_loaded_from_other_hosts(site, pages):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]*\ssrc=\"(https?:)?//|<link[^>]*rel=\"(?:stylesheet|preload)\"[^>]*href=\"(https?:)?//"
    )
    faults = [page for page in pages if loaded.search((site / page).read_text(encoding="utf-8"))]
    assert not faults


def test_every_public_name_has_a_page(site):
    names = []
    for name in geofeat.__all__:
        value = getattr(geofeat, name)
        rooms = value.__all__ if inspect.ismodule(value) else ()
        names += [f"{name}.{part}" for part in rooms] or [name]
    missing = [name for name in names if not (site / f"generated/geofeat.{name}.html").exists()]
    assert not missing


def test_the_summary_for_language_models_is_there(site):
    assert (site / "llms.txt").read_text(encoding="utf-8").startswith("# geofeat")
