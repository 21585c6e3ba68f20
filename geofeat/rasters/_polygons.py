"""Geometries of X -> polygons in longitude and latitude, cut at the antimeridian."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat._columns import describe_rows
from geofeat._coordinates import is_geometry, project_to_degrees
from geofeat._warnings import warn_caller
from geofeat.exceptions import CoordinateWarning

# Edges are straight in the CRS that polygons come in. Cut into pieces of this length, they bend by
# less than 1 cm under any projection in use.
SEGMENT_DEGREES = 0.004
_SEGMENT_METRES = 400.0
_AREAL = (3, 6)  # shapely's type numbers of Polygon and MultiPolygon


def read_polygons(X: Any, owner: str) -> np.ndarray:
    """Polygons of X in degrees, longitudes in [-180, 180]; None where there is no place.

    Parameters
    ----------
    X : GeoDataFrame or GeoSeries
        Polygons and multipolygons in any CRS. An edge of more than 180 degrees of longitude goes
        the short way round. Missing and empty geometries, and those with coordinates that are no
        place, become None. Invalid ones are repaired, with one warning. One without area may
        become a line or a point.
    owner : str
        Name of the transformer for messages.

    Returns
    -------
    polygons : object array of shape (n,)
        Shapely geometries.
    """
    import shapely

    shapes = shapely.force_2d(np.asarray(_polygons_of(X, owner).array, dtype=object))
    shapes[shapely.is_missing(shapes) | shapely.is_empty(shapes)] = None
    shapes = _without_bad_numbers(shapes, owner)
    crs = X.geometry.crs
    if crs.is_projected:
        shapes = _repaired_with_word(shapes, owner)
        metres = crs.axis_info[0].unit_conversion_factor
        shapes = shapely.segmentize(shapes, _SEGMENT_METRES / metres)
    shapes = _in_degrees(shapes, crs, owner)
    west, _, east, _ = shapely.bounds(shapes).T
    with np.errstate(invalid="ignore"):
        across = np.flatnonzero((east - west > 180) | (west < -180) | (east > 180))
    for i in across:
        shapes[i] = _unwound(shapes[i], f"row {i} of {owner}'s X")
    if crs.is_projected:  # rounding may have spoiled them again
        broken = _invalid(shapes)
        shapes[broken] = [repaired(shape) for shape in shapes[broken]]
    else:
        shapes = _repaired_with_word(shapes, owner)
    for i in across:
        shapes[i] = _cut_at_antimeridian(shapes[i])
    return shapes


def _repaired_with_word(shapes: np.ndarray, owner: str) -> np.ndarray:
    """Repair what is invalid, with one warning unless it has no area."""
    import shapely

    shapes = shapes.copy()
    broken = np.flatnonzero(_invalid(shapes))
    why = shapely.is_valid_reason(shapes[broken])
    shapes[broken] = [repaired(shape) for shape in shapes[broken]]
    told = shapely.area(shapes[broken]) > 0
    if told.any():
        rows = np.zeros(shapes.size, dtype=bool)
        rows[broken[told]] = True
        warn_caller(
            f"{owner}: {describe_rows(rows)} hold invalid polygons, row {broken[told][0]} for one: "
            f"{why[told][0]}. They are read as shapely.make_valid repairs them.",
            CoordinateWarning,
        )
    return shapes


def _invalid(shapes: np.ndarray) -> np.ndarray:
    import shapely

    invalid: np.ndarray = ~shapely.is_valid(shapes) & ~shapely.is_missing(shapes)
    return invalid


def polygon_bounds(polygons: np.ndarray) -> np.ndarray:
    """West, south, east, north of all polygons together, NaN without any."""
    import shapely

    bounds: np.ndarray = shapely.total_bounds(polygons)
    return bounds


def repaired(shape: Any) -> Any:
    """Make a geometry valid and keep its areas, or whatever is left where it has none.

    Parts of a multipolygon that overlap are joined.
    """
    import shapely

    parts = [_valid(part) for part in shapely.get_parts(shape)]
    areal = areas_only(np.array(parts, dtype=object))
    areal = areal[~shapely.is_missing(areal)]
    if areal.size == 1:
        return areal[0]
    return shapely.union_all(areal if areal.size else parts)


def _valid(polygon: Any) -> Any:
    import shapely

    try:
        return shapely.make_valid(polygon)
    except shapely.errors.GEOSException:  # met with slivers that rounding has folded
        return polygon.buffer(0)


def areas_only(shapes: np.ndarray) -> np.ndarray:
    """Geometries without their points and lines, None where no area is left."""
    import shapely

    shapes = shapes.copy()
    mixed = np.flatnonzero(~np.isin(shapely.get_type_id(shapes), _AREAL))
    for i in mixed:
        parts = shapely.get_parts(shapely.get_parts(shapes[i : i + 1]))
        parts = parts[np.isin(shapely.get_type_id(parts), _AREAL)]
        shapes[i] = shapely.multipolygons(parts) if parts.size else None
    shapes[shapely.is_empty(shapes)] = None
    return shapes


def _polygons_of(X: Any, owner: str) -> Any:
    """Geometries of X as a GeoSeries, after a check of what they are."""
    if not is_geometry(X):
        raise TypeError(
            f"{owner} with zonal= reads polygons, got {type(X).__name__}: pass a GeoDataFrame or "
            "GeoSeries of polygons, or leave zonal=None for points."
        )
    if not len(X):
        raise ValueError(f"Found array with 0 sample(s) (shape={X.shape}) while 1 is required.")
    shapes = X.geometry
    if shapes.crs is None:
        raise ValueError(
            f"{owner} got geometries without a coordinate reference system. Say which it is with "
            "X.set_crs(...), for longitude and latitude X.set_crs('EPSG:4326')."
        )
    kinds = shapes[~(shapes.isna() | shapes.is_empty)].geom_type
    if not kinds.isin(["Polygon", "MultiPolygon"]).all():
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.value_counts().items())
        raise ValueError(
            f"{owner} with zonal= reads polygons and multipolygons, got {counts}. Leave zonal=None "
            "for points; X.buffer(...), in a projected CRS, makes polygons of points and lines."
        )
    return shapes


def _without_bad_numbers(shapes: np.ndarray, owner: str) -> np.ndarray:
    """None in place of geometries with a NaN; an error for infinities."""
    import shapely

    numbers, row = shapely.get_coordinates(shapes, return_index=True)
    infinite = np.isinf(numbers).any(axis=1)
    if infinite.any():
        rows = np.zeros(shapes.size, dtype=bool)
        rows[row[infinite]] = True
        raise ValueError(f"{owner} got geometries with inf coordinates in {describe_rows(rows)}.")
    shapes[row[np.isnan(numbers).any(axis=1)]] = None
    return shapes


def _in_degrees(shapes: np.ndarray, crs: Any, owner: str) -> np.ndarray:
    """Polygons as longitude and latitude; one that leaves the domain of its CRS becomes None."""
    import shapely

    (lon, lat), row = _columns(shapes)
    lost = np.abs(lat) > 90
    if crs.to_epsg() != 4326:
        lon, lat, lost = project_to_degrees(lon, lat, crs)
    if lost.any():
        rows = np.zeros(shapes.size, dtype=bool)
        rows[row[lost]] = True
        warn_caller(
            f"{owner}: {describe_rows(rows)} reach where {crs.to_string()} is not defined; these "
            "rows become NaN.",
            CoordinateWarning,
        )
        kept = ~rows[row]
        shapes[rows] = None
        lon, lat = lon[kept], lat[kept]
    degrees: np.ndarray = shapely.set_coordinates(shapes.copy(), np.column_stack([lon, lat]))
    return degrees


def _columns(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of all shapes, shape (2, m), and the shape of each."""
    import shapely

    numbers, row = shapely.get_coordinates(shapes, return_index=True)
    return numbers.T, row


def _unwound(shape: Any, what: str) -> Any:
    """Let longitudes go on beyond 180 instead of jumping to -180."""
    import shapely

    parts = shapely.get_parts(shape)
    if not all(part.geom_type == "Polygon" for part in parts):
        return shape
    return shapely.multipolygons([_unwound_polygon(part, what) for part in parts])


def _unwound_polygon(polygon: Any, what: str) -> Any:
    import shapely

    shell = _unwound_ring(np.asarray(polygon.exterior.coords), polar=True, what=what)
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = []
    for ring in polygon.interiors:
        hole = _unwound_ring(np.asarray(ring.coords), polar=False, what=what)
        shift = middle - (hole[:, 0].min() + hole[:, 0].max()) / 2
        hole[:, 0] += 360.0 * np.round(shift / 360.0)
        holes.append(hole)
    return shapely.Polygon(shell, holes)


def _cut_at_antimeridian(shape: Any) -> Any:
    """Geometry with every part moved into [-180, 180]."""
    import shapely
    from shapely import affinity

    pieces = []
    for part in shapely.get_parts(shape):
        west, _, east, _ = part.bounds
        for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
            moved = affinity.translate(part, xoff=-360.0 * turn)
            piece = shapely.intersection(moved, shapely.box(-180, -90, 180, 90))
            if part.area == 0 or piece.area > 0:
                pieces.append(piece)
    return repaired(shapely.union_all(pieces))


def _unwound_ring(ring: np.ndarray, *, polar: bool, what: str) -> np.ndarray:
    """Ring of shape (n, 2) without jumps of longitude; one around a pole is closed through it."""
    ring = ring[:, :2].copy()
    step = np.diff(ring[:, 0])
    jumps = (np.abs(step) > 180) & (np.abs(step) < 360)
    turn = np.where(jumps, -360.0 * np.round(step / 360.0), 0.0)
    ring[1:, 0] += np.cumsum(turn)
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    if not polar:
        raise ValueError(f"{what} has a hole around a pole: cut the polygon at some meridian")
    pole = np.copysign(90.0, ring[:, 1].mean())
    corners = [[ring[-1, 0], pole], [ring[0, 0], pole], ring[0]]
    return np.concatenate([ring, corners])
