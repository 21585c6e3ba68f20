"""One layer of columns sampled at points, and what was found told in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat._columns import describe_rows
from geofeat._downloads import without_secrets
from geofeat.rasters._candidates import (
    BAD_COORDINATE,
    NO_LAYER_YEAR,
    NO_YEAR,
    OK,
    REASONS,
    Candidates,
)
from geofeat.rasters._reading import read_candidates
from geofeat.rasters._sources import Source

if TYPE_CHECKING:
    import pandas as pd

_NAMED_FILES = 3


class Sampled(NamedTuple):
    """What became of n points in one layer.

    ``reason`` is uint8, ``year`` the year of the layer used, ``file`` a position in ``files`` or
    -1, ``row`` and ``col`` the pixel or -1; all of shape (n,). ``absent`` are files that should
    be there, ``beyond_limit`` files with values beyond the source's limit and in how many pixels.
    """

    reason: np.ndarray
    year: np.ndarray
    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    files: list[str]
    absent: list[str]
    beyond_limit: list[tuple[str, int]]

    def without_places(self) -> Sampled:
        """Keep what `describe_missing` needs, one byte a point."""
        none = np.empty(0, dtype=np.int64)
        return self._replace(year=none, file=none, row=none, col=none, files=[])

    @classmethod
    def joined(cls, parts: Sequence[Sampled]) -> Sampled:
        """Join consecutive parts of one layer, each without places."""
        return parts[0]._replace(
            reason=np.concatenate([part.reason for part in parts]),
            absent=[path for part in parts for path in part.absent],
            beyond_limit=[item for part in parts for item in part.beyond_limit],
        )


def sample_layer(
    source: Source,
    lon: np.ndarray,
    lat: np.ndarray,
    year: np.ndarray,
    bands: np.ndarray,
    out: np.ndarray,
    *,
    missing: str = "any",
    fallback: str | None = None,
    progress: bool | None = False,
) -> Sampled:
    """Fill rows of ``out``, float32 of shape (n, bands), with the pixels that hold the points."""
    found, year = locate(source, lon, lat, year, fallback)
    outcome = read_candidates(source, found, bands, missing, out, progress)
    chosen = outcome.chosen
    file, row, col = (np.full(lon.size, -1) for _ in range(3))
    has = chosen >= 0
    for into, values in ((file, found.file), (row, found.row), (col, found.col)):
        into[has] = values[chosen[has]]
    lost = ~has & (found.absent_file >= 0)
    file[lost] = len(found.files) + found.absent_file[lost]
    paths = [record.path for record in found.files] + found.absent
    return Sampled(outcome.reason, year, file, row, col, paths, found.absent, outcome.beyond_limit)


def locate(
    source: Source, lon: np.ndarray, lat: np.ndarray, year: np.ndarray, fallback: str | None
) -> tuple[Candidates, np.ndarray]:
    """Candidates, and the year each point is served from: with a fallback, the nearest one."""
    found = source.locate(lon, lat, year)
    if fallback is None or not source.years:
        return found, year
    open_points = np.flatnonzero((found.reason == NO_YEAR) & (year != NO_LAYER_YEAR))
    used = year.copy()
    available = np.array(source.years)
    for rank in range(available.size):
        if not open_points.size:
            break
        distance = np.abs(available[None] - year[open_points, None])
        nearest = available[np.argsort(distance, axis=1, kind="stable")[:, rank]]
        reason = source.locate(lon[open_points], lat[open_points], nearest).reason
        used[open_points[reason == OK]] = nearest[reason == OK]
        open_points = open_points[reason != OK]
    if (used != year).any():
        found = source.locate(lon, lat, used)
    return found, used


def count_layer(
    source: Source,
    lon: np.ndarray,
    lat: np.ndarray,
    year: np.ndarray,
    bands: np.ndarray,
    fallback: str | None,
) -> list[dict[str, Any]]:
    """Count, for each year, points by reason, files, blocks and bytes, before any pixel is read."""
    found, year = locate(source, lon, lat, year, fallback)
    starts = found.first_of_points()
    first = starts[:-1][starts[1:] > starts[:-1]]
    year_of_candidate = year[found.point]
    records = []
    with source.reader(found, bands) as reader:
        for one in np.unique(year).tolist():
            here = year == one
            windows = reader.windows(first[year_of_candidate[first] == one])
            counts = np.bincount(found.reason[here], minlength=len(REASONS))
            records.append(
                {
                    "year": one,
                    "points": int(here.sum()),
                    "located": int(counts[OK]),
                    **{
                        name: int(counts[code])
                        for code, name in enumerate(REASONS)
                        if name not in ("ok", "nodata", "water")
                    },
                    "absent_files": len(set(found.absent_file[here].tolist()) - {-1}),
                    "files": len({window.file for window in windows}),
                    "blocks": sum(window.blocks for window in windows),
                    "bytes": sum(reader.stored_bytes(window) for window in windows),
                }
            )
    return records


def info_frame(sampled: Sampled, index: Any) -> pd.DataFrame:
    """File, row, col, reason and year of every point, as a pandas DataFrame."""
    import pandas as pd

    # One file may be listed for several years; categories must differ.
    names, code = np.unique(np.array(sampled.files, dtype=object), return_inverse=True)
    file = np.append(code, -1)[sampled.file]
    numbers = {
        name: pd.array(np.where(values < 0, 0, values), dtype="Int64")
        for name, values in (("row", sampled.row), ("col", sampled.col), ("year", sampled.year))
    }
    for name, values in (("row", sampled.row), ("col", sampled.col), ("year", sampled.year)):
        numbers[name][values < 0] = pd.NA
    return pd.DataFrame(
        {
            "file": pd.Categorical.from_codes(file, categories=names),
            "row": numbers["row"],
            "col": numbers["col"],
            "reason": pd.Categorical.from_codes(sampled.reason, categories=list(REASONS)),
            "year": numbers["year"],
        },
        index=index,
    )


def describe_missing(layers: list[Sampled]) -> str | None:
    """Say which rows have no value and why; None when nothing is missing but coordinates."""
    reason = np.concatenate([layer.reason for layer in layers])
    lacking = (reason != OK) & (reason != BAD_COORDINATE)
    absent = list(dict.fromkeys(path for layer in layers for path in layer.absent))
    beyond = [item for layer in layers for item in layer.beyond_limit]
    parts = []
    if lacking.any():
        counts = np.bincount(reason[lacking], minlength=len(REASONS))
        why = ", ".join(f"{counts[code]} {REASONS[code]}" for code in np.flatnonzero(counts))
        rows = lacking.reshape(len(layers), -1).any(axis=0)
        parts.append(f"no value for {describe_rows(rows)}: {why}")
    if absent:
        parts.append(f"{len(absent)} file(s) that should be there are not: {_listed(absent)}")
    if beyond:
        tiles = _listed(list(dict.fromkeys(path for path, _ in beyond)))
        count = sum(pixels for _, pixels in beyond)
        parts.append(f"{count} pixel(s) beyond max_abs in {tiles}")
    return "; ".join(parts) or None


def _listed(paths: list[str]) -> str:
    shown = [without_secrets(p) if "://" in p else p for p in paths[:_NAMED_FILES]]
    return ", ".join(shown) + (", ..." if len(paths) > _NAMED_FILES else "")
