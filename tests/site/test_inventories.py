"""Links to other projects: made from their inventories, left out without a network."""

import importlib.util
import io
from pathlib import Path
from urllib.error import URLError

import pytest

pytest.importorskip("sphinx", reason="sphinx is not installed: pip install 'geofeat[docs]'")
SOURCE = Path(__file__).parents[2] / "docs" / "_extensions" / "inventories.py"


@pytest.fixture
def inventories():
    spec = importlib.util.spec_from_file_location("inventories", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_site_that_answers_is_linked_and_asked_once(inventories, tmp_path, monkeypatch):
    asked = []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(b"inventory")

    monkeypatch.setattr(inventories, "urlopen", answer)
    mapping = inventories.reachable_inventories(tmp_path)
    assert mapping.keys() == inventories.SITES.keys()
    for name, (site, path) in mapping.items():
        assert site == inventories.SITES[name]
        assert Path(path).read_bytes() == b"inventory"
    assert inventories.reachable_inventories(tmp_path) == mapping
    assert asked == [f"{site}objects.inv" for site in inventories.SITES.values()]


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("slow")])
def test_without_a_network_nothing_is_linked(inventories, tmp_path, monkeypatch, error):
    def refuse(address, timeout):
        raise error

    monkeypatch.setattr(inventories, "urlopen", refuse)
    assert inventories.reachable_inventories(tmp_path) == {}
    assert not list(tmp_path.glob("*.inv"))
