"""Command line: ``python -m geofeat [versions | demo]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Words of the command line, None for those of the process.

    Returns
    -------
    status : int
        0 on success, 1 when something needed is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m geofeat",
        description="Earth embeddings and coordinate encodings as scikit-learn transformers.",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser("versions", help="print versions, threads and folders (the default)")
    demo = commands.add_parser(
        "demo", help="classify tree species of a SIMULATED landscape, print and draw the scores"
    )
    demo.add_argument(
        "--output", type=Path, default=Path("demo"), help="folder for table and figure (demo)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "demo":
        return _demo(chosen.output)
    from geofeat._versions import show_versions

    show_versions()
    return 0


def _demo(output: Path) -> int:
    from geofeat._demo import run_demo

    try:
        result = run_demo(output)
    except ImportError as error:
        print(f"geofeat demo: {error}", file=sys.stderr)
        return 1
    print(result.report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
