"""Polygons -> rows of the output: sums over their weighted pixels, each block read once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from geofeat._progress import progress_bar
from geofeat.rasters._areas import Areas, representative_points
from geofeat.rasters._candidates import NO_COVERAGE, NO_LAYER_YEAR, NO_YEAR, NODATA, OK, WATER
from geofeat.rasters._coverage_fractions import require_exactextract
from geofeat.rasters._sampling import PixelCounts, Sampled, sample_layer
from geofeat.rasters._sources import Source
from geofeat.rasters._weighted_reading import Moments, PixelGroups, read_weighted
from geofeat.rasters._zonal_pieces import cut_into_pieces, pixels_of_pieces

# Fractions are exact to float32.
_ROUNDING = 1e-6
_ABOUT_POINTS = {
    "method": "nearest",
    "window": None,
    "radius": None,
    "statistic": "mean",
    "strict": False,
}


class Zonal(NamedTuple):
    """What is asked of polygons.

    ``statistic`` is "mean", "std" or "center"; ``coherence`` adds a column with the length of the
    mean vector; ``normalize`` "l2" scales vectors to length 1; ``min_valid`` is the share of a
    polygon below which it has no value; ``missing`` as in the sampler.
    """

    statistic: str
    coherence: bool = False
    normalize: str | None = None
    min_valid: float = 0.0
    missing: str = "any"

    @classmethod
    def asked(cls, parameters: Mapping[str, Any]) -> Self | None:
        """Understand the parameters of the sampler; None where points are sampled.

        Raises
        ------
        ValueError
            For parameters that have no meaning together.
        """
        statistic, coherence = parameters["zonal"], parameters["return_coherence"]
        if statistic is None:
            if coherence:
                raise ValueError("return_coherence=True needs zonal=, it is told of polygons")
            return None
        for name, default in _ABOUT_POINTS.items():
            if parameters[name] != default:
                raise ValueError(
                    f"{name}={parameters[name]!r} is about points, zonal={statistic!r} about "
                    "polygons: give one of them"
                )
        rest = (parameters[name] for name in ("normalize", "min_valid", "missing"))
        return cls(statistic, coherence, *rest)


class _Sums:
    """What is kept of each polygon besides its row."""

    def __init__(self, n: int):
        self.pixels = np.zeros(n, dtype=np.int64)
        self.missing = np.zeros(n, dtype=np.int64)
        self.water = np.zeros(n, dtype=np.int64)
        self.weight = np.zeros(n)
        self.asked = np.zeros(n)
        self.beyond_limit: dict[str, int] = {}

    def count(self, pixels: PixelGroups, moments: Moments) -> None:
        """Count the pixels of a batch; ``pixels.group`` numbers polygons."""
        for status, counts in ((OK, self.pixels), (NODATA, self.missing), (WATER, self.water)):
            group = pixels.group[moments.status == status]
            counts += np.bincount(group, minlength=counts.size)
        for path, count in moments.beyond_limit:
            self.beyond_limit[path] = self.beyond_limit.get(path, 0) + count


def sample_zones(
    source: Source,
    polygons: np.ndarray,
    year: np.ndarray,
    bands: np.ndarray,
    out: np.ndarray,
    zonal: Zonal,
    *,
    fallback: str | None = None,
    progress: bool | None = False,
) -> Sampled:
    """Fill rows of ``out``, float32 of shape (n, bands), with statistics of polygons.

    Parameters
    ----------
    source : Source
        With a method ``areas``.
    polygons : object array of shape (n,)
        As of `read_polygons`. Those without area, and with "center" those without the centre of a
        pixel, are served as the point inside them that shapely gives.
    year : int64 array of shape (n,)
        Year asked for by each polygon.
    bands : int64 array of shape (bands,)
        Positions of the bands to read.
    out : float32 array of shape (n, bands)
        One column more with ``zonal.coherence``.
    zonal : Zonal
        What is asked.
    fallback, progress : as of the sampler
    """
    areas, used, flat = locate_zones(source, polygons, year, fallback)
    out[:] = np.nan
    sums = _read(source, areas, bands, out, zonal, progress)
    reason, valid = _verdicts(areas, sums, zonal.min_valid)
    out[reason != OK] = np.nan
    nowhere = np.full(polygons.size, -1)
    found = Sampled(
        reason,
        used,
        _only_file(areas),
        nowhere,
        nowhere,
        [record.path for record in areas.files] + areas.absent,
        areas.absent,
        list(sums.beyond_limit.items()),
        counts=PixelCounts(sums.pixels, sums.weight, valid),
    )
    tiny = np.flatnonzero(flat | ((areas.reason == OK) & (sums.asked == 0)))
    if not tiny.size:
        return found
    lon, lat = representative_points(polygons[tiny])
    rows = np.empty((lon.size, bands.size), dtype=np.float32)
    points = sample_layer(
        source, lon, lat, year[tiny], bands, rows, missing=zonal.missing, fallback=fallback
    )
    served = points.reason == OK
    values = rows[served].astype(np.float64)
    out[tiny] = np.nan
    out[tiny[served]] = _statistics(values, values**2, np.ones_like(values), zonal)
    return _with_points(found, points, tiny)


def locate_zones(
    source: Any, polygons: np.ndarray, year: np.ndarray, fallback: str | None
) -> tuple[Areas, np.ndarray, np.ndarray]:
    """Find where polygons lie.

    Returns
    -------
    areas : Areas
        Of polygons that have an area.
    year : int64 array of shape (n,)
        Year each is served from: with a fallback, the nearest one.
    flat : bool array of shape (n,)
        Polygons that have none.
    """
    require_exactextract()
    if not hasattr(type(source), "areas"):
        raise TypeError(
            f"{type(source).__name__} cannot be sampled by polygons: it has no method "
            "areas(polygons, year)"
        )
    flat = np.array([shape is not None and shape.area == 0 for shape in polygons], dtype=bool)
    areal = polygons.copy()
    areal[flat] = None
    found = source.areas(areal, year)
    if fallback is None or not source.years:
        return found, year, flat
    waiting = np.flatnonzero((found.reason == NO_YEAR) & (year != NO_LAYER_YEAR))
    used = year.copy()
    available = np.array(source.years)
    for rank in range(available.size):
        if not waiting.size:
            break
        distance = np.abs(available[None] - year[waiting, None])
        nearest = available[np.argsort(distance, axis=1, kind="stable")[:, rank]]
        reason = source.areas(areal[waiting], nearest).reason
        used[waiting[reason == OK]] = nearest[reason == OK]
        waiting = waiting[reason != OK]
    if (used != year).any():
        found = source.areas(areal, used)
    return found, used, flat


def _read(
    source: Source,
    areas: Areas,
    bands: np.ndarray,
    out: np.ndarray,
    zonal: Zonal,
    progress: bool | None,
) -> _Sums:
    """Read the pixels of all parts batch by batch and fill the rows of polygons as they end."""
    pieces = cut_into_pieces(areas)
    sums = _Sums(out.shape[0])
    squares = zonal.statistic == "std"
    # Only polygons in several batches need their sums kept from batch to batch.
    polygon = areas.polygon[pieces.part]
    last = np.full(out.shape[0], -1)
    np.maximum.at(last, polygon, pieces.batch)
    split = np.unique(polygon[pieces.batch < last[polygon]])
    kept = np.zeros((3 if squares else 2, split.size, bands.size))
    n_batches = int(pieces.batch[-1]) + 1 if pieces.batch.size else 0
    with progress_bar(n_batches, "reading polygons", "group", progress) as bar:
        for pixels in pixels_of_pieces(areas, pieces, zonal.statistic):
            groups, code = np.unique(pixels.group, return_inverse=True)
            moments = read_weighted(
                source,
                pixels._replace(group=code),
                areas.files,
                groups.size,
                bands,
                zonal.missing,
                squares=squares,
            )
            sums.count(pixels, moments)
            sums.asked[groups] += moments.asked
            parts = [moments.total, moments.weight]
            if moments.square is not None:
                parts.append(moments.square)
            place = np.searchsorted(split, groups)
            is_split = np.isin(groups, split)
            kept[:, place[is_split]] += [part[is_split] for part in parts]
            _finish(out, sums, groups[~is_split], [part[~is_split] for part in parts], zonal)
            bar.update(1)
    _finish(out, sums, split, list(kept), zonal)
    return sums


def _finish(
    out: np.ndarray, sums: _Sums, rows: np.ndarray, parts: list[np.ndarray], zonal: Zonal
) -> None:
    """Turn the sums of some polygons into their rows."""
    total, weight = parts[:2]
    sums.weight[rows] = weight.max(axis=1, initial=0.0)
    out[rows] = _statistics(total, parts[-1], weight, zonal)


def _statistics(
    total: np.ndarray, square: np.ndarray, weight: np.ndarray, zonal: Zonal
) -> np.ndarray:
    """Rows of the output from sums of weighted values, their squares and weights."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = total / weight
        length = np.sqrt(np.nansum(rows**2, axis=1, keepdims=True))
        if zonal.statistic == "std":
            rows = np.sqrt(np.maximum(square / weight - rows**2, 0.0))
        if zonal.normalize == "l2":
            scale = np.sqrt(np.nansum(rows**2, axis=1, keepdims=True))
            rows = np.where(scale > 0, rows / scale, rows)
    return np.hstack([rows, length]) if zonal.coherence else rows


def _verdicts(areas: Areas, sums: _Sums, min_valid: float) -> tuple[np.ndarray, np.ndarray]:
    """Reason and share of valid area of each polygon."""
    asked = np.where(sums.asked > 0, sums.asked, 1.0)
    within = np.minimum(sums.weight / asked, 1.0)
    valid = within * areas.share
    reason = areas.reason.copy()
    served = reason == OK
    lacking = served & ((sums.weight == 0) | (valid < min_valid - _ROUNDING))
    in_files = (sums.weight > 0) & (within >= min_valid - _ROUNDING)
    reason[lacking] = np.where(in_files[lacking], NO_COVERAGE, NODATA)
    reason[lacking & (sums.pixels + sums.missing == 0) & (sums.water > 0)] = WATER
    return reason, np.where(served, valid, 0.0)


def _only_file(areas: Areas) -> np.ndarray:
    """File of polygons that lie in one, the absent one of those without a part, else -1."""
    n = areas.reason.size
    first, last = np.full(n, len(areas.files)), np.full(n, -1)
    np.minimum.at(first, areas.polygon, areas.file)
    np.maximum.at(last, areas.polygon, areas.file)
    file = np.where(first == last, first, -1)
    absent: np.ndarray = np.where(
        areas.absent_file >= 0, len(areas.files) + areas.absent_file, file
    )
    return absent


def _with_points(found: Sampled, points: Sampled, into: np.ndarray) -> Sampled:
    """Put what became of representative points in the place of their polygons."""
    columns = {}
    shift = len(found.files)
    for name in ("reason", "year", "file", "row", "col"):
        column, values = getattr(found, name).copy(), getattr(points, name)
        column[into] = np.where(values >= 0, values + shift, -1) if name == "file" else values
        columns[name] = column
    counts = found.counts
    if counts is not None:
        for column in counts:
            column[into] = points.reason == OK
    return found._replace(
        **columns,
        files=found.files + points.files,
        absent=found.absent + points.absent,
        beyond_limit=found.beyond_limit + points.beyond_limit,
    )
