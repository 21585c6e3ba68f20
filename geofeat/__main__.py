"""Command line: ``python -m geofeat``, or ``geofeat`` where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, default=None
        Words of the command line, None for those of the process.

    Returns
    -------
    status : int
        0 on success, 1 after an error, 2 for words that are no command, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if importlib.util.find_spec("typer") is None:
        from geofeat._plain_commands import run_plain

        return run_plain(words)
    from geofeat._command_line import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
