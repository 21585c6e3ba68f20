"""Which pixels of many raster files serve which points."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from geofeat.exceptions import SourceError
from geofeat.rasters._candidates import (
    NO_COVERAGE,
    NO_YEAR,
    OK,
    OUTSIDE,
    Candidates,
    reasons_before_search,
)
from geofeat.rasters._footprints import Footprints
from geofeat.rasters._header import RasterHeader, file_exists, look_at_remote
from geofeat.rasters._projection import containing_pixels, pixel_positions


class Layer(NamedTuple):
    """The files of one year, in the order of preference.

    Attributes
    ----------
    paths : list of str
        One a file.
    zones : object array of str
        UTM zone whose points each file owns, such as "32N"; "" for files without.
    footprints : Footprints
        Where each file may be used.
    """

    paths: list[str]
    zones: np.ndarray
    footprints: Footprints


class SearchRules(NamedTuple):
    """How files are chosen.

    ``declared`` says that footprints are promises of an index, so that a point inside one but
    beyond the raster is `OUTSIDE`. ``own_zone_first`` prefers files of the point's own UTM zone,
    ``interior`` the file whose edge is farthest.
    """

    declared: bool
    own_zone_first: bool = False
    interior: bool = False
    edge_tolerance: float = 0.0


def search_layers(
    lon: np.ndarray,
    lat: np.ndarray,
    year: np.ndarray,
    layer_of: Callable[[int], Layer | None],
    header_of: Callable[[str], RasterHeader],
    covered_at_all: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rules: SearchRules,
) -> Candidates:
    """Pixels for points, each in the layer of its own year.

    Parameters
    ----------
    lon, lat : float64 arrays of shape (n,)
        Degrees, longitude in [-180, 180); NaN is missing.
    year : int64 array of shape (n,)
        Year asked for by each point.
    layer_of : callable
        The files of a year, None where there are none.
    header_of : callable
        Header of the file at a path.
    covered_at_all : callable
        For lon, lat: whether files of any year cover the points.
    rules : SearchRules
        How to choose.
    """
    reason = reasons_before_search(lon, lat)
    good = np.flatnonzero(reason == NO_COVERAGE)
    points, codes, zones = [], [], []
    paths: list[str] = []
    for wanted in np.unique(year[good]).tolist():
        rows = good[year[good] == wanted]
        layer = layer_of(wanted)
        if layer is None:
            continue
        point, file = layer.footprints.covering(lon[rows], lat[rows])
        used, code = np.unique(file, return_inverse=True)
        points.append(rows[point])
        codes.append(code + len(paths))
        zones.append(layer.zones[file])
        paths.extend(layer.paths[i] for i in used)
    found = _Pairs.joined(points, codes, zones)
    absent_file = np.full(lon.size, -1)
    found, headers, absent = _without_absent(found, paths, header_of, absent_file, rules.declared)
    found, col, row, depth = _inside_rasters(found, lon, lat, headers, rules)
    has_pixel = np.zeros(lon.size, dtype=bool)
    has_pixel[found.point] = True
    if rules.declared:
        covered = np.zeros(lon.size, dtype=bool)
        covered[np.concatenate(points) if points else []] = True
        reason[covered & (absent_file < 0)] = OUTSIDE
    reason[has_pixel] = OK
    unserved = np.flatnonzero((reason == NO_COVERAGE) & (absent_file < 0))
    if unserved.size:
        elsewhere = covered_at_all(lon[unserved], lat[unserved])
        reason[unserved[elsewhere]] = NO_YEAR
    foreign = np.zeros(found.point.size, dtype=bool)
    if rules.own_zone_first:
        of_file = np.array([utm_zone(header.epsg) for header in headers], dtype=object)
        zone = np.where(found.zone == "", of_file[found.file], found.zone)
        foreign = zone != own_zones(lon[found.point], lat[found.point])
    order = np.lexsort((found.file, -depth, foreign, found.point))
    return Candidates(
        found.point[order],
        found.file[order],
        row[order],
        col[order],
        reason,
        headers,
        absent,
        np.where(has_pixel, -1, absent_file),
    )


def own_zones(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Plain UTM zone of each point, such as "32N"."""
    number = np.clip(np.floor((lon + 180) / 6), 0, 59).astype(int) + 1
    return np.char.add(number.astype(str), np.where(lat >= 0, "N", "S")).astype(object)


def utm_zone(epsg: int | None) -> str:
    """Zone of a WGS 84 / UTM code, such as "32N" for 32632; "" for every other code."""
    if epsg is None or epsg // 100 not in (326, 327) or not 1 <= epsg % 100 <= 60:
        return ""
    return f"{epsg % 100}{'N' if epsg // 100 == 326 else 'S'}"


class _Pairs(NamedTuple):
    """Points, files that may serve them, and the zone each file owns."""

    point: np.ndarray
    file: np.ndarray
    zone: np.ndarray

    @classmethod
    def joined(
        cls, point: list[np.ndarray], file: list[np.ndarray], zone: list[np.ndarray]
    ) -> _Pairs:
        empty = np.empty(0, dtype=np.int64)
        return cls(
            np.concatenate([empty, *point]),
            np.concatenate([empty, *file]),
            np.concatenate([np.empty(0, dtype=object), *zone]),
        )

    def keep(self, kept: np.ndarray) -> _Pairs:
        return _Pairs(self.point[kept], self.file[kept], self.zone[kept])


def _without_absent(
    found: _Pairs,
    paths: list[str],
    header_of: Callable[[str], RasterHeader],
    absent_file: np.ndarray,
    declared: bool,
) -> tuple[_Pairs, list[RasterHeader], list[str]]:
    """Drop pairs whose file is not there, noting the first such file of each point.

    Only an index may name files that are not there; one that was found and read has vanished.
    """
    position, headers, absent = present_files(paths, header_of, declared)
    lost = position[found.file] < 0
    absent_file[found.point[lost][::-1]] = -1 - position[found.file[lost]][::-1]
    kept = found.keep(~lost)
    return kept._replace(file=position[kept.file]), headers, absent


def present_files(
    paths: list[str], header_of: Callable[[str], RasterHeader], declared: bool
) -> tuple[np.ndarray, list[RasterHeader], list[str]]:
    """Position of each path in the list of headers, or -1 - its position among absent paths."""
    look_at_remote(paths)
    there = np.array([file_exists(path) for path in paths], dtype=bool)
    absent = [path for path, exists in zip(paths, there, strict=True) if not exists]
    if absent and not declared:
        raise SourceError(absent[0], "was there when the source was first used and is gone")
    headers = [header_of(path) for path, exists in zip(paths, there, strict=True) if exists]
    position = np.where(there, np.cumsum(there) - 1, -np.cumsum(~there))
    return position, headers, absent


def _inside_rasters(
    found: _Pairs,
    lon: np.ndarray,
    lat: np.ndarray,
    headers: list[RasterHeader],
    rules: SearchRules,
) -> tuple[_Pairs, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs whose raster holds the point, with column, row and, if asked for, depth inside.

    The outermost pixel stands in for a point beyond the edge only where no raster holds the point.
    """
    grids = [header.grid for header in headers]
    position = pixel_positions(lon[found.point], lat[found.point], found.file, grids)
    width = np.array([grid.width for grid in grids], dtype=np.int64)[found.file]
    height = np.array([grid.height for grid in grids], dtype=np.int64)[found.file]
    col, row, inside = containing_pixels(*position, width, height, rules.edge_tolerance)
    if rules.edge_tolerance:
        held = containing_pixels(*position, width, height, 0.0)[2]
        inside &= held | ~np.isin(found.point, found.point[held])
    depth = np.zeros(found.point.size)
    if rules.interior:
        a, b = position
        depth = np.minimum(np.minimum(a, width - a), np.minimum(b, height - b))
    return found.keep(inside), col[inside], row[inside], depth[inside]
