"""Runs the Python on Markdown pages, while Sphinx reads them and in the tests.

Blocks with ``>>>`` are doctests: they must print what the page says. Other blocks must run. All
blocks of a page share their names and an empty working folder. A block that cannot run here, since
it needs the network or somebody's data, stands below a comment that says so in the source::

    <!-- not run: asks the public servers -->
"""

import contextlib
import doctest
import io
import os
import re
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>.+?) -->\n)?"
    r"^(?P<indent>[ ]*)(?P<fence>`{3,}|:{3,})(?:\{code-block\} )?python\n"
    r"(?P<code>.*?)^[ ]*(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_OPTION = re.compile(r"\A(?::[\w-]+:.*\n)+")


class Block(NamedTuple):
    """A block of Python on a page: its code, the line it starts on, why it is not run."""

    code: str
    line: int
    reason: str


def python_blocks(text: str) -> list[Block]:
    """Find the blocks of Python on a Markdown page, in their order."""
    blocks = []
    for found in _BLOCK.finditer(text):
        indent = len(found["indent"])
        code = "".join(line[indent:] for line in found["code"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start("code")) + 1
        blocks.append(Block(_OPTION.sub("", code), line, found["reason"] or ""))
    return blocks


def run_page(text: str, name: str) -> list[str]:
    """Run a page's blocks in an empty folder; say what failed, nothing when all is well.

    Variables of the environment that a page sets are forgotten after it.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    failures = []
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for block in python_blocks(text):
                if not block.reason:
                    failures += _run_block(block, name, names)
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)
    return failures


def _run_block(block: Block, name: str, names: dict[str, object]) -> list[str]:
    report = io.StringIO()
    if ">>>" in block.code:
        example = doctest.DocTestParser().get_doctest(
            block.code, names, name, name, lineno=block.line - 1
        )
        runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
        runner.run(example, out=report.write, clear_globs=False)
        names.update(example.globs)  # the parser works on a copy
        return [report.getvalue()] if report.getvalue() else []
    try:
        with contextlib.redirect_stdout(report):
            exec(compile(block.code, f"{name}, block at line {block.line}", "exec"), names)  # noqa: S102
    except Exception:
        return [traceback.format_exc()]
    return []


def run_while_reading(app, docname, content):
    """Run the page that Sphinx is about to read; what fails is a warning, hence an error."""
    from sphinx.util import logging

    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        for failure in run_page(content[0], path.name):
            logging.getLogger(__name__).warning(failure, location=docname)


def setup(app):
    """Connect to the reading of sources."""
    app.connect("source-read", run_while_reading)
    return {"parallel_read_safe": True}
