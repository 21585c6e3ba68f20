"""Which parts of polygons the files of a catalogue hold, each in the layer of its own year."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from geofeat.rasters._areas import (
    Areas,
    Claims,
    intersections,
    overlay,
    reasons_of,
    representative_points,
    share_out,
)
from geofeat.rasters._candidates import NO_COVERAGE, NO_YEAR
from geofeat.rasters._catalogue import Layer, SearchRules, present_files, utm_zone
from geofeat.rasters._header import RasterHeader
from geofeat.rasters._projection import pixel_positions


def areas_in_layers(
    polygons: np.ndarray,
    year: np.ndarray,
    layer_of: Callable[[int], Layer | None],
    header_of: Callable[[str], RasterHeader],
    covered_at_all: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rules: SearchRules,
    exclusive: bool = True,
) -> Areas:
    """Parts of polygons in files, after the rules by which `search_layers` serves points.

    Parameters
    ----------
    polygons : object array of shape (n,)
        In degrees, None where missing.
    year : int64 array of shape (n,)
        Year asked for by each polygon.
    layer_of, header_of, covered_at_all, rules : callable, callable, callable, SearchRules
        As in `search_layers`. ``rules.interior`` puts the file first in which a point inside the
        polygon lies farthest from the edge; ``rules.edge_tolerance`` has no meaning for areas.
    exclusive : bool, default=True
        Whether ground goes to one file only, the first that holds it.
    """
    reason = reasons_of(polygons)
    claims, paths, zones = _claims(polygons, year, layer_of)
    position, headers, absent = present_files(paths, header_of, rules.declared)
    lost = position[claims.file] < 0
    absent_file = np.full(polygons.size, -1)
    absent_file[claims.polygon[lost][::-1]] = -1 - position[claims.file[lost]][::-1]
    zones = zones[~lost]
    claims = claims.keep(~lost)
    claims = claims._replace(file=position[claims.file])
    if rules.own_zone_first:
        claims = _own_zone_first(claims, zones, headers)
    elif rules.interior:
        claims = _deepest_first(polygons, claims, headers)
    found = share_out(
        polygons, claims, headers, reason, declared=rules.declared, exclusive=exclusive
    )
    reason = found.reason
    unserved = np.flatnonzero((reason == NO_COVERAGE) & (absent_file < 0))
    if unserved.size:
        elsewhere = covered_at_all(*representative_points(polygons[unserved]))
        reason[unserved[elsewhere]] = NO_YEAR
    served = np.isin(np.arange(polygons.size), found.polygon)
    return found._replace(absent=absent, absent_file=np.where(served, -1, absent_file))


def _claims(
    polygons: np.ndarray, year: np.ndarray, layer_of: Callable[[int], Layer | None]
) -> tuple[Claims, list[str], np.ndarray]:
    """Claims on the paths of all layers, and the zone that the file of each owns."""
    parts, zones = [], []
    paths: list[str] = []
    for wanted in np.unique(year).tolist():
        rows = np.flatnonzero(year == wanted)
        layer = layer_of(wanted)
        if layer is None:
            continue
        shape, file, region = layer.footprints.meeting(polygons[rows])
        claims = Claims.cut(polygons, rows[shape], file, region)
        used, code = np.unique(claims.file, return_inverse=True)
        zones.append(layer.zones[claims.file])
        parts.append(claims._replace(file=code + len(paths)))
        paths.extend(layer.paths[i] for i in used)
    nothing, none = np.empty(0, dtype=np.int64), np.empty(0, dtype=object)
    joined = Claims(
        np.concatenate([nothing, *[part.polygon for part in parts]]),
        np.concatenate([nothing, *[part.file for part in parts]]),
        np.concatenate([none, *[part.part for part in parts]]),
    )
    return joined, paths, np.concatenate([none, *zones])


def _own_zone_first(claims: Claims, zones: np.ndarray, headers: list[RasterHeader]) -> Claims:
    """Cut claims at the edge of the zone that the file owns; what lies beyond comes last."""
    import shapely

    of_file = np.array([utm_zone(header.epsg) for header in headers], dtype=object)
    zone = np.where(zones == "", of_file[claims.file], zones)
    names, code = np.unique(zone.astype(str), return_inverse=True)
    areas = np.array([_zone_area(name) for name in names], dtype=object)[code]
    bounds = shapely.bounds(claims.part)
    limits = shapely.bounds(areas)
    # Footprints end at the edge, but for rounding.
    beyond = (bounds[:, :2] < limits[:, :2] - 1e-9) | (bounds[:, 2:] > limits[:, 2:] + 1e-9)
    beyond = np.flatnonzero(beyond.any(axis=1))
    own = claims.part.copy()
    own[beyond] = intersections(claims.part[beyond], areas[beyond])
    rest = overlay("difference", claims.part[beyond], areas[beyond])
    beyond, rest = beyond[~shapely.is_missing(rest)], rest[~shapely.is_missing(rest)]
    held = np.flatnonzero(~shapely.is_missing(own))
    return Claims(
        np.concatenate([claims.polygon[held], claims.polygon[beyond]]),
        np.concatenate([claims.file[held], claims.file[beyond]]),
        np.concatenate([own[held], rest]),
    )


def _zone_area(zone: str) -> object:
    """Plain UTM zone such as "32N" as a box in degrees; the world for ""."""
    import shapely

    if not zone:
        return shapely.box(-180.0, -90.0, 180.0, 90.0)
    west = 6.0 * int(zone[:-1]) - 186.0
    south = 0.0 if zone.endswith("N") else -90.0
    return shapely.box(west, south, west + 6.0, south + 90.0)


def _deepest_first(polygons: np.ndarray, claims: Claims, headers: list[RasterHeader]) -> Claims:
    """Order the claims on each polygon by how deep a point inside it lies in the raster."""
    lon, lat = representative_points(polygons[claims.polygon])
    grids = [header.grid for header in headers]
    col, row = pixel_positions(lon, lat, claims.file, grids)
    width = np.array([grid.width for grid in grids], dtype=np.int64)[claims.file]
    height = np.array([grid.height for grid in grids], dtype=np.int64)[claims.file]
    depth = np.minimum(np.minimum(col, width - col), np.minimum(row, height - row))
    return claims.keep(np.lexsort((claims.file, -depth, claims.polygon)))
