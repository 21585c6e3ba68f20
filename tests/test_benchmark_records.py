"""The page on performance shows the record of every benchmark that has one, and nothing else."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "user_guide" / "performance.md").read_text(encoding="utf-8")
RECORDS = sorted((ROOT / "docs" / "performance").glob("*.txt"))


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_every_record():
    shown = re.findall(r"\{benchmark-record\} (\w+)", PAGE)
    assert sorted(shown) == [path.stem for path in RECORDS]
    assert set(shown) == set(loaded(ROOT / "benchmarks" / "record.py").SCRIPTS)


def test_every_record_names_its_script_and_machine():
    for path in RECORDS:
        head, _, output = path.read_text(encoding="utf-8").partition("\n\n")
        facts = [line.split(": ")[0] for line in head.splitlines()]
        assert facts[:5] == ["processor", "system", "libraries", "commit", "date"]
        assert output.strip(), path.name
        assert (ROOT / "benchmarks" / path.name).with_suffix(".py").exists()
