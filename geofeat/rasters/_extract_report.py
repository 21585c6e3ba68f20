"""What an extraction tells when it is done: counts, warnings and a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat._warnings import warn_caller
from geofeat.exceptions import CoordinateWarning, CoverageWarning, SourceError
from geofeat.rasters._candidates import BAD_COORDINATE, OK
from geofeat.rasters._extract_store import Finished
from geofeat.rasters._extract_task import ExtractionTask

_NAMED_FILES = 3
_LONGEST_NAME = 120


class Extraction(NamedTuple):
    """What `extract` did.

    Attributes
    ----------
    path : Path
        The finished file.
    rows : int
        Points, and rows of the file.
    counts : dict of str to int
        How many values there are of each reason, over all years.
    seconds : float
        Time that this call took.
    groups : int
        Groups of rows that the work was cut into.
    resumed_groups : int
        Those of them that an earlier call had finished.
    """

    path: Path
    rows: int
    counts: dict[str, int]
    seconds: float
    groups: int
    resumed_groups: int


def summarise(
    task: ExtractionTask, finished: Finished, n_groups: int, coordinates: list[str]
) -> dict[str, Any]:
    """Count reasons, and tell what is to be warned of, as the file's metadata keep them."""
    counts = np.array(finished.counts).sum(axis=0).tolist()
    return {
        "rows": task.points.n_rows,
        "counts": dict(zip(task.job.reasons, counts, strict=True)),
        "counts by layer": dict(zip(task.job.suffixes, finished.counts, strict=True)),
        "groups": n_groups,
        "coordinates": coordinates,
        "missing": _describe_missing(task, finished, counts),
        "alarming": bool(finished.absent or finished.beyond_limit),
    }


def refuse_missing(task: ExtractionTask, missing: str | None) -> None:
    """Raise SourceError about what is missing where the sampler asks for it."""
    if missing is not None and task.on_missing == "raise":
        text = repr(task.job.transformer.source)[:_LONGEST_NAME]
        raise SourceError(text, f"{missing}; on_missing='nan' leaves these rows missing")


def report(
    out: Path, summary: dict[str, Any], task: ExtractionTask, began: float, resumed: int
) -> Extraction:
    """Warn of what is missing, once, and build the report."""
    for message in summary["coordinates"]:
        warn_caller(message, CoordinateWarning)
    missing = summary["missing"]
    refuse_missing(task, missing)
    if missing is not None and (task.on_missing == "warn" or summary["alarming"]):
        becomes = "missing" if isinstance(task.on_missing, str) else f"{task.on_missing:g}"
        warn_caller(
            f"extract: {missing}. Rows without a value are {becomes}; the column reason tells why.",
            CoverageWarning,
        )
    seconds = time.monotonic() - began
    return Extraction(out, summary["rows"], summary["counts"], seconds, summary["groups"], resumed)


def _describe_missing(task: ExtractionTask, finished: Finished, counts: list[int]) -> str | None:
    """Say what has no value and why, in the words of the sampler's warning."""
    if not task.job.reads_rasters:
        return None
    lacking = {
        name: counts[code]
        for code, name in enumerate(task.job.reasons)
        if code not in (OK, BAD_COORDINATE) and counts[code]
    }
    parts = []
    if lacking:
        layers = len(task.job.suffixes)
        of = f"{task.points.n_rows} rows" + (f" times {layers} years" if layers > 1 else "")
        rows = ", ".join(str(row) for row in finished.first_rows)
        why = ", ".join(f"{count} {name}" for name, count in lacking.items())
        parts.append(f"no value for {sum(lacking.values())} of {of} (first rows: {rows}): {why}")
    if finished.absent:
        names = _listed(finished.absent)
        parts.append(f"{len(finished.absent)} file(s) that should be there are not: {names}")
    if finished.beyond_limit:
        tiles = _listed(list(dict.fromkeys(path for path, _ in finished.beyond_limit)))
        pixels = sum(count for _, count in finished.beyond_limit)
        parts.append(f"{pixels} pixel(s) beyond max_abs in {tiles}")
    return "; ".join(parts) or None


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:_NAMED_FILES]) + (", ..." if len(paths) > _NAMED_FILES else "")
