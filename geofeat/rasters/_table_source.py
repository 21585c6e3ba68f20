"""EmbeddingTableSource: Parquet tables with one embedding for each patch of the Earth."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from geofeat.exceptions import RasterMismatchError
from geofeat.rasters._candidates import (
    NO_LAYER_YEAR,
    NO_YEAR,
    OK,
    Candidates,
    reasons_before_search,
)
from geofeat.rasters._cubes import searched_points
from geofeat.rasters._footprints import Footprints
from geofeat.rasters._nearest import Places, earth_centred, metres_of_chord
from geofeat.rasters._source_state import ImmutableSource
from geofeat.rasters._table_files import Rows, TableFile, read_rows, read_table_file, table_paths
from geofeat.rasters._table_reader import TableReader, embedding_width

DATES = ("latest", "mean")


class EmbeddingTableSource(ImmutableSource):
    """Tables of embeddings of patches, for `EmbeddingRasterSampler`.

    A row has an embedding, a place and perhaps a date: Major TOM, Clay, Earth Index, Earth
    Embeddings, or one's own. A point takes the row whose footprint contains it or, with
    ``max_distance``, whose centre is nearest. Places and dates are read first, then only the row
    groups with rows that are needed.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Parquet files, folders of those (searched to any depth) or patterns.
    max_distance : float, default=None
        Metres up to which the nearest centre counts, along the WGS 84 ellipsoid. None: the
        footprint that contains the point counts, where several do the one whose centre is nearest.
    dates : {"latest", "mean"}, default="latest"
        What counts where a place has several rows (of the year asked for): the last that has an
        embedding, or the mean of all.
    pool_years : bool, default=False
        Whether rows of all years stand together, so that the sampler takes no ``year``.
    embedding : str, default=None
        Column of lists of numbers, all of one length. None: ``embedding``, ``embeddings``,
        ``vector``, or the only one.
    geometry : str or (str, str), default=None
        Column of points or polygons, or columns of longitude and latitude. None: ``centre_lon``
        and ``centre_lat``, ``lon`` and ``lat`` or the like for centres; ``geometry``, ``geom``,
        ``geometry_wkt`` or ``wkt`` for footprints, and for centres without the others. GeoParquet
        is read in its CRS, other WKB or WKT as longitude and latitude.
    date : str, default=None
        Column of dates, of ISO 8601 strings or of years. None: ``date``, ``datetime``,
        ``timestamp``, ``time`` or ``year``, if there is one.

    Attributes
    ----------
    band_names : tuple of str
        ``emb_0000``, ``emb_0001``, ...
    years : tuple of int or None
        Years of the rows; None without dates or with ``pool_years``.

    Notes
    -----
    In the table that `EmbeddingRasterSampler.sample` returns, ``file`` and ``row`` are those of
    the embedding, counted from the file's first row, and ``distance`` leads to its centre.

    Examples
    --------
    >>> from geofeat import EmbeddingTableSource
    >>> EmbeddingTableSource("major_tom/*.parquet", max_distance=2000)
    EmbeddingTableSource('major_tom/*.parquet', max_distance=2000)
    """

    def __init__(
        self,
        paths: Any,
        *,
        max_distance: float | None = None,
        dates: str = "latest",
        pool_years: bool = False,
        embedding: str | None = None,
        geometry: str | tuple[str, str] | None = None,
        date: str | None = None,
    ):
        if max_distance is not None and not 0 < max_distance < np.inf:
            raise ValueError(f"max_distance must be metres above 0, got {max_distance}")
        if dates not in DATES:
            raise ValueError(f"dates must be one of {DATES}, got {dates!r}")
        if max_distance is None and not (geometry is None or isinstance(geometry, str)):
            raise ValueError("two columns of coordinates are no footprints: give max_distance=")
        self.paths = paths
        self.max_distance = max_distance
        self.dates = dates
        self.pool_years = pool_years
        self.embedding = embedding
        self.geometry = geometry
        self.date = date
        self._places: dict[int, Places] = {}

    @property
    def overlap(self) -> str:
        """Whether the rows of a place are averaged."""
        return "mean" if self.dates == "mean" else "first"

    @property
    def band_names(self) -> tuple[str, ...]:
        """``emb_0000``, ``emb_0001``, ..."""
        return tuple(f"emb_{band:04d}" for band in range(self._width))

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years of the rows, ascending; None without dates or when they are pooled."""
        if self.pool_years or all(file.columns.date is None for file in self._files):
            return None
        return tuple(int(y) for y in np.unique(self._rows.year) if y != NO_LAYER_YEAR)

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Rows that may serve points, the latest of the best place first; see `Candidates`."""
        reason = reasons_before_search(lon, lat)
        searched = searched_points(lon, lat)
        find = self._containing if self.max_distance is None else self._nearest
        point, row = find(lon, lat, year, searched)
        reason[point] = OK
        if self.years is not None:
            missed = np.setdiff1d(searched, point)
            reason[find(lon, lat, None, missed)[0]] = NO_YEAR
        rows = self._rows
        zeros, nothing = np.zeros_like(row), np.full(lon.size, -1)
        metres = _metres(lon[point], lat[point], rows.lon[row], rows.lat[row])
        return Candidates(
            point, rows.file[row], rows.row[row], zeros, reason, self._files, [], nothing, metres
        )

    def reader(self, found: Candidates, bands: np.ndarray) -> TableReader:
        """Reader of the bands at the given positions."""
        return TableReader(found, bands, self._width)

    @cached_property
    def _files(self) -> list[TableFile]:
        names = self.embedding, self.geometry, self.date
        files = [read_table_file(path, *names) for path in table_paths(self.paths)]
        for file in files:
            if (file.columns.date is None) != (files[0].columns.date is None):
                raise RasterMismatchError(
                    file.path, f"and {files[0].path}: one has dates, the other has none"
                )
        return files

    @cached_property
    def _width(self) -> int:
        return embedding_width(self._files)

    @cached_property
    def _rows(self) -> Rows:
        return read_rows(self._files, footprints=self.max_distance is None)

    @cached_property
    def _footprints(self) -> Footprints:
        return Footprints(np.empty((0, 4)), self._rows.footprint)

    def _places_of(self, year: int | None) -> Places:
        """Places that have a row of a year; of any year where None."""
        key = NO_LAYER_YEAR if year is None else year
        if key not in self._places:
            rows = self._rows
            which = np.arange(rows.row.size) if year is None else np.flatnonzero(rows.year == year)
            self._places[key] = Places(rows.lon[which], rows.lat[which], rows.stamp[which], which)
        return self._places[key]

    def _nearest(
        self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray | None, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (point, row) of the nearest place of each point's year, the latest row first."""
        pairs = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))]
        any_year = year is None or self.years is None
        asked = np.full(points.size, NO_LAYER_YEAR) if year is None else year[points]
        for one in np.unique(asked).tolist():
            if one == NO_LAYER_YEAR and not any_year:
                continue
            members = points[asked == one]
            places = self._places_of(None if any_year else one)
            place, _ = places.nearest(lon[members], lat[members], float(self.max_distance or 0))
            served = np.flatnonzero(place >= 0)
            which, row = places.rows(place[served])
            pairs.append((members[served[which]], row))
        point, row = (np.concatenate(part) for part in zip(*pairs, strict=True))
        order = np.argsort(point, kind="stable")
        return point[order], row[order]

    def _containing(
        self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray | None, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (point, row) of the footprint around each point whose centre is nearest."""
        rows = self._rows
        which, row = self._footprints.covering(lon[points], lat[points])
        point = points[which]
        if year is not None and self.years is not None:
            kept = (rows.year[row] == year[point]) & (year[point] != NO_LAYER_YEAR)
            point, row = point[kept], row[kept]
        metres = _metres(lon[point], lat[point], rows.lon[row], rows.lat[row])
        # Rows of one place have one centre; the latest comes first.
        order = np.lexsort((row, ~rows.stamp[row], metres.round(2), point))
        point, row = point[order], row[order]
        first = np.searchsorted(point, point)
        same = np.abs(rows.lon[row] - rows.lon[row[first]]) < 1e-7
        same &= np.abs(rows.lat[row] - rows.lat[row[first]]) < 1e-7
        return point[same], row[same]


def _metres(
    lon: np.ndarray, lat: np.ndarray, other_lon: np.ndarray, other_lat: np.ndarray
) -> np.ndarray:
    """Distance between pairs of places."""
    apart = earth_centred(lon, lat) - earth_centred(other_lon, other_lat)
    return metres_of_chord(np.linalg.norm(apart, axis=1))
