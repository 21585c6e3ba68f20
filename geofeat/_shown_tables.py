"""Tables on the terminal, and plain ones everywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show_table(table: pd.DataFrame) -> None:
    """Print a table with its index first: framed on a terminal, plain columns elsewhere."""
    names = [str(table.index.name or ""), *map(str, table.columns)]
    rows = [
        [_text(value) for value in (label, *row)]
        for label, row in zip(table.index, table.itertuples(index=False), strict=True)
    ]
    if sys.stdout.isatty():
        _show_framed(names, rows)
        return
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for line in (names, *rows):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def human_bytes(count: float) -> str:
    """Return a number of bytes in the largest unit of which there is at least one."""
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def _text(value: Any) -> str:
    import pandas as pd

    return "-" if pd.isna(value) else str(value)


def _show_framed(names: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*names)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
