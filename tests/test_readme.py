"""The README's example is run, and prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_example_prints_what_stands_below_it():
    code, printed = re.search(r"```python\n(.*?)```\s*```text\n(.*?)```", README, re.S).groups()
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})
    got, promised = output.getvalue().split(), printed.split()
    assert len(got) == len(promised)
    for word, expected in zip(got, promised, strict=True):
        if re.fullmatch(r"0\.\d\d", expected):  # forests differ a little between releases
            assert abs(float(word) - float(expected)) <= 0.03
        else:
            assert word == expected


def test_the_two_commands_stand_first():
    commands = re.findall(r"^\s*(make \w+)", README, re.M)
    assert commands[:2] == ["make demo", "make test"]
