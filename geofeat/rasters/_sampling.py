"""One layer of columns sampled at points, and what was found told in words and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat._columns import describe_rows
from geofeat._downloads import without_secrets
from geofeat._warnings import warn_caller
from geofeat.exceptions import CoverageWarning, SourceError
from geofeat.rasters._candidates import (
    BAD_COORDINATE,
    NO_LAYER_YEAR,
    NO_YEAR,
    OK,
    REASONS,
    Candidates,
)
from geofeat.rasters._neighbourhood_reading import NeighbourhoodReader
from geofeat.rasters._neighbourhoods import Neighbourhood, neighbourhoods
from geofeat.rasters._reading import read_candidates
from geofeat.rasters._sources import Source

if TYPE_CHECKING:
    import pandas as pd

_NAMED_FILES = 3


class PixelCounts(NamedTuple):
    """What polygons were made of, arrays of shape (n,).

    ``pixels`` int64 counts the pixels with data, ``weight`` float64 sums how much of each counted,
    ``valid`` float64 is the share of the polygon's area that has data.
    """

    pixels: np.ndarray
    weight: np.ndarray
    valid: np.ndarray


class Sampled(NamedTuple):
    """What became of n points or polygons in one layer.

    ``reason`` is uint8, ``year`` the year of the layer used, ``file`` a position in ``files`` or
    -1, ``row`` and ``col`` the pixel or -1; all of shape (n,). ``absent`` are files that should
    be there, ``beyond_limit`` files with values beyond the source's limit and in how many pixels.
    ``distance`` is in metres, NaN without a value; None of sources that know none. ``counts`` are
    those of polygons; a polygon has a file where it lies in one only, and no row and column.
    """

    reason: np.ndarray
    year: np.ndarray
    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    files: list[str]
    absent: list[str]
    beyond_limit: list[tuple[str, int]]
    distance: np.ndarray | None = None
    counts: PixelCounts | None = None

    def without_places(self) -> Sampled:
        """Keep what `describe_missing` needs, one byte a point."""
        none = np.empty(0, dtype=np.int64)
        return self._replace(
            year=none, file=none, row=none, col=none, files=[], distance=None, counts=None
        )

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
    around: Neighbourhood | None = None,
    progress: bool | None = False,
) -> Sampled:
    """Fill rows of ``out``, float32 of shape (n, bands), with the pixels at or around points."""
    found, year = locate(source, lon, lat, year, fallback)
    absent = found.absent
    if around is None:
        outcome = read_candidates(source, found, bands, missing, out, progress)
    else:
        places = lon, lat, year
        reader = NeighbourhoodReader(source, found, places, bands, missing, around, progress)
        outcome = reader.fill(out)
        absent = [*absent, *reader.absent]
    chosen = outcome.chosen
    file, row, col = (np.full(lon.size, -1) for _ in range(3))
    has = chosen >= 0
    for into, values in ((file, found.file), (row, found.row), (col, found.col)):
        into[has] = values[chosen[has]]
    lost = ~has & (found.absent_file >= 0)
    file[lost] = len(found.files) + found.absent_file[lost]
    paths = [record.path for record in found.files] + found.absent
    distance = None
    if found.distance is not None:
        distance = np.full(lon.size, np.nan)
        distance[has] = found.distance[chosen[has]]
    return Sampled(
        outcome.reason,
        year,
        file,
        row,
        col,
        paths,
        absent,
        outcome.beyond_limit,
        distance,
    )


def band_positions(bands: Any, source: Source) -> np.ndarray:
    """Positions of the bands asked for by name or position, int64; None asks for all."""
    names = list(source.band_names)
    if bands is None:
        return np.arange(len(names))
    positions = []
    for band in bands:
        if isinstance(band, str):
            if band not in names:
                raise ValueError(f"the source has no band {band!r}, its bands are {names}")
            positions.append(names.index(band))
        elif isinstance(band, int | np.integer) and 0 <= band < len(names):
            positions.append(int(band))
        else:
            raise ValueError(
                f"bands must be names or positions from 0 to {len(names) - 1}, got {band!r}"
            )
    if not positions or len(set(positions)) < len(positions):
        raise ValueError(f"bands must name at least one band and none twice, got {bands}")
    return np.array(positions)


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
    around: Neighbourhood | None,
) -> list[dict[str, Any]]:
    """Count, for each year, points by reason, files, blocks and bytes, before any pixel is read."""
    found, year = locate(source, lon, lat, year, fallback)
    starts = found.first_of_points()
    first = starts[:-1][starts[1:] > starts[:-1]]
    year_of_candidate = year[found.point]
    records = []
    for one in np.unique(year).tolist():
        here = year == one
        which = first[year_of_candidate[first] == one]
        records.append(
            {
                "year": one,
                **count_reasons(found.reason[here]),
                "absent_files": len(set(found.absent_file[here].tolist()) - {-1}),
                **_count_reading(source, found, which, (lon, lat, year), bands, around),
            }
        )
    return records


def count_reasons(reason: np.ndarray) -> dict[str, int]:
    """Count points or polygons, those that lie in a file, and the others by reason."""
    counts = np.bincount(reason, minlength=len(REASONS))
    unread = {
        name: int(counts[code])
        for code, name in enumerate(REASONS)
        if name not in ("ok", "nodata", "water")
    }
    return {"points": reason.size, "located": int(counts[OK]), **unread}


def _count_reading(
    source: Source,
    found: Candidates,
    which: np.ndarray,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    bands: np.ndarray,
    around: Neighbourhood | None,
) -> dict[str, int]:
    """Count files, blocks and bytes that are read for the candidates ``which``."""
    if around is None:
        parts = iter([(found, which)])
    else:
        pixels = neighbourhoods(source, found, which, places, around, bands)
        expanded = (part.candidates() for _, part in pixels)
        parts = ((part, np.arange(part.point.size)) for part in expanded)
    return count_windows(source, parts, bands)


def count_windows(
    source: Source, parts: Iterable[tuple[Candidates, np.ndarray]], bands: np.ndarray
) -> dict[str, int]:
    """Count files, blocks and bytes that are read for pairs (candidates, which of them)."""
    files: set[str] = set()
    blocks = n_bytes = 0
    for candidates, chosen in parts:
        with source.reader(candidates, bands) as reader:
            for window in reader.windows(chosen):
                files.add(candidates.files[window.file].path)
                blocks += window.blocks
                n_bytes += reader.stored_bytes(window)
    return {"files": len(files), "blocks": blocks, "bytes": n_bytes}


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
    frame = pd.DataFrame(
        {
            "file": pd.Categorical.from_codes(file, categories=names),
            "row": numbers["row"],
            "col": numbers["col"],
            "reason": pd.Categorical.from_codes(sampled.reason, categories=list(REASONS)),
            "year": numbers["year"],
        },
        index=index,
    )
    if sampled.distance is not None:
        frame["distance"] = sampled.distance
    if sampled.counts is not None:
        for name, values in sampled.counts._asdict().items():
            frame[name] = values
    return frame


def tell_missing(layers: list[Sampled], source: Any, on_missing: str | float, owner: str) -> None:
    """Warn or raise about rows that the source has no value for; ``owner`` is who says it."""
    message = describe_missing(layers)
    if message is None:
        return
    alarming = any(layer.absent or layer.beyond_limit for layer in layers)
    if on_missing == "raise":
        name = repr(source)
        raise SourceError(name if len(name) <= 120 else type(source).__name__, message)
    if on_missing == "warn" or alarming:
        becomes = "NaN" if isinstance(on_missing, str) else f"{on_missing:g}"
        warn_caller(
            f"{owner}: {message}. Rows without a value become {becomes}; "
            "sample(X, return_info=True) tells the reason of each.",
            CoverageWarning,
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
