"""Outputs that cannot fit are refused before the work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geofeat.exceptions import LimitError


def refuse_beyond_memory(
    n_rows: int,
    width: int,
    dtype: Any,
    owner: str,
    way_out: str = "Use transform_chunks, float32 input or fewer rows.",
) -> None:
    """Raise LimitError for an output above 80 % of the free memory, where that is known."""
    itemsize = getattr(dtype, "itemsize", 8)
    size = n_rows * width * itemsize
    if size < 2**30:
        return
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    if size > 0.8 * free:
        raise LimitError(
            f"{owner} would return {n_rows} x {width} values, {size / 2**30:.1f} GiB, and "
            f"{free / 2**30:.1f} GiB are free. {way_out}"
        )
