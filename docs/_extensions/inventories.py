"""Fetches the inventories of other projects for intersphinx; does without where it cannot."""

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from sphinx.util import logging

SITES = {
    "geopandas": "https://geopandas.org/en/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "python": "https://docs.python.org/3/",
    "sklearn": "https://scikit-learn.org/stable/",
    "xarray": "https://docs.xarray.dev/en/stable/",
}
_SECONDS = 5


def reachable_inventories(folder: Path) -> dict[str, tuple[str, str]]:
    """Mapping for intersphinx; a site that does not answer is left out, so links become plain text.

    Parameters
    ----------
    folder : Path
        Where inventories are kept; one that is there is not fetched again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for name, site in SITES.items():
        path = folder / f"{name}.inv"
        if not path.exists():
            try:
                with urlopen(f"{site}objects.inv", timeout=_SECONDS) as answer:  # noqa: S310 - https above
                    path.write_bytes(answer.read())
            except (URLError, TimeoutError, OSError):
                logging.getLogger(__name__).info("no network: no links to other projects")
                return mapping
        mapping[name] = (site, str(path))
    return mapping
