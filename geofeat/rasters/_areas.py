"""Which parts of polygons lie in which files, so that no ground is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from geofeat.rasters._candidates import BAD_COORDINATE, NO_COVERAGE, OK, OUTSIDE
from geofeat.rasters._pixel_shapes import pixel_boxes, pixel_shapes, shape_in_grid
from geofeat.rasters._polygons import areas_only, repaired
from geofeat.rasters._projection import PixelGrid

# Shares of a polygon below this are rounding.
_TRACE = 1e-9
# Degrees or pixels within which edges are taken for one where an exact overlay fails.
_SNAP = 1e-10
# Pixels of one size on the map differ on the ground by the map's scale: in UTM by 0.3 %.
_EQUAL_SIZES = 0.05


class Areas(NamedTuple):
    """Parts of n polygons, each in the pixels of one file.

    Attributes
    ----------
    polygon, file : int64 arrays of shape (m,)
        Which polygon, which of ``files``; a pair may come several times.
    part : object array of shape (m,)
        Shapely polygons in columns and rows of the file, counted from the corner of its first
        pixel. Parts of one polygon share no ground, unless the source averages its files.
    size : float64 array of shape (m,)
        Ground below a pixel of the part's file, in pixels of the first part of the polygon; 1 where
        the files of a polygon have pixels of one size.
    share : float64 array of shape (n,)
        How much of the polygon's area its parts hold, 1 for all.
    reason : uint8 array of shape (n,)
        Why a polygon has no part, `OK` where it has one.
    files : list
        What the source's reader needs to know of each file; each has a ``path``.
    absent : list of str
        Files that the source names, that would hold a part, and that are not there.
    absent_file : int64 array of shape (n,)
        Which of ``absent`` would have served a polygon that has no part, -1 for none.
    """

    polygon: np.ndarray
    file: np.ndarray
    part: np.ndarray
    size: np.ndarray
    share: np.ndarray
    reason: np.ndarray
    files: list[Any]
    absent: list[str]
    absent_file: np.ndarray


class Claims(NamedTuple):
    """Parts of polygons that files may serve, in degrees; the preferred file of a polygon first.

    ``polygon``, ``file`` int64 and ``part`` object arrays of shape (m,).
    """

    polygon: np.ndarray
    file: np.ndarray
    part: np.ndarray

    @classmethod
    def cut(
        cls, polygons: np.ndarray, polygon: np.ndarray, file: np.ndarray, region: np.ndarray
    ) -> Claims:
        """Intersect ``polygons[polygon]`` with regions in degrees; pairs without area are left."""
        part = intersections(polygons[polygon], region)
        asked, which = np.unique(polygon, return_inverse=True)
        kept = ground_area(part) > _TRACE * ground_area(polygons[asked])[which]
        return cls(polygon[kept], file[kept], part[kept])

    def keep(self, kept: np.ndarray) -> Claims:
        """Take some of the claims, in the order of ``kept``."""
        return Claims(self.polygon[kept], self.file[kept], self.part[kept])


def intersections(shapes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Areas that pairs of shapes and regions share, None without any."""
    import shapely

    _prepare_repeated(shapes)
    _prepare_repeated(regions)
    whole = shapely.covers(shapes, regions)
    part = np.where(whole, regions, shapes)
    cut = ~whole & ~shapely.covers(regions, shapes)
    part[cut] = overlay("intersection", shapes[cut], regions[cut])
    return part


def overlay(operation: str, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas of "intersection" or "difference" of pairs of shapes, None without any."""
    import shapely

    combine = getattr(shapely, operation)
    try:
        return areas_only(combine(ones, others))
    except shapely.errors.GEOSException:  # edges that all but coincide; one pair is to blame
        if ones.size > 1:
            pairs = (slice(i, i + 1) for i in range(ones.size))
            return np.concatenate([overlay(operation, ones[one], others[one]) for one in pairs])
        mended = [np.array([repaired(shape[0])], dtype=object) for shape in (ones, others)]
        return areas_only(combine(*mended, grid_size=_SNAP))


def _prepare_repeated(shapes: np.ndarray) -> None:
    """Prepare shapes that are asked several times; a prepared one takes kilobytes."""
    import shapely

    _, first, count = np.unique(
        [id(shape) for shape in shapes], return_index=True, return_counts=True
    )
    shapely.prepare(shapes[first[count > 4]])


def ground_area(shapes: np.ndarray) -> np.ndarray:
    """Areas of shapes in degrees, in a unit that is the same all over the Earth; None has 0."""
    import shapely

    flat = shapely.transform(
        shapes, lambda c: np.column_stack([c[:, 0], np.sin(np.radians(c[:, 1]))])
    )
    area: np.ndarray = np.nan_to_num(shapely.area(flat))
    return area


def reasons_of(polygons: np.ndarray) -> np.ndarray:
    """`BAD_COORDINATE` where a polygon is missing, `NO_COVERAGE` elsewhere."""
    missing = np.array([shape is None for shape in polygons], dtype=bool)
    return np.where(missing, BAD_COORDINATE, NO_COVERAGE).astype(np.uint8)


def representative_points(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude in [-180, 180) and latitude of a point inside each shape, NaN for None."""
    import shapely

    points = shapely.point_on_surface(shapes)
    lon, lat = shapely.get_x(points), shapely.get_y(points)
    return np.where(lon >= 180, lon - 360, lon), lat


def share_out(
    polygons: np.ndarray,
    claims: Claims,
    files: list[Any],
    reason: np.ndarray,
    *,
    declared: bool,
    exclusive: bool = True,
    grid_of: Callable[[Any], PixelGrid] = lambda file: file.grid,
) -> Areas:
    """Give each file the part of each polygon that it claims and that no claim before it took.

    Parameters
    ----------
    polygons : object array of shape (n,)
        In degrees.
    claims : Claims
        On ``files``, those of one polygon in order of preference.
    files : list
        Entries with a pixel grid.
    reason : uint8 array of shape (n,)
        Of every polygon without a claim; the others are filled in.
    declared : bool
        Whether claims are promises, so that a polygon beyond the raster is `OUTSIDE`.
    exclusive : bool, default=True
        Whether ground goes to one file only.
    grid_of : callable, default: the attribute ``grid``
        Grid of a file.
    """
    grids = [grid_of(file) for file in files]
    whole, claim = pixel_shapes(claims.part, claims.file, grids)
    part = intersections(whole, pixel_boxes(grids)[claims.file[claim]])
    claims_of = claims.keep(claim)
    if exclusive:
        part = _without_taken(claims_of, part, grids)
    pixels, all_pixels = _area(part), _area(whole)
    kept = pixels > _TRACE * all_pixels
    claims_of, part, pixels = claims_of.keep(kept), part[kept], pixels[kept]
    per_pixel = (ground_area(claims.part)[claim] / np.where(all_pixels > 0, all_pixels, 1))[kept]
    held = np.bincount(claims_of.polygon, weights=per_pixel * pixels, minlength=polygons.size)
    total = ground_area(polygons)
    share = np.divide(held, total, out=np.zeros(polygons.size), where=total > 0)
    reason = reason.copy()
    if declared:
        reason[claims.polygon] = OUTSIDE
    reason[claims_of.polygon] = OK
    return Areas(
        claims_of.polygon,
        claims_of.file,
        part,
        _relative_sizes(claims_of.polygon, per_pixel),
        np.minimum(share, 1.0),
        reason,
        files,
        [],
        np.full(polygons.size, -1),
    )


def _relative_sizes(polygon: np.ndarray, per_pixel: np.ndarray) -> np.ndarray:
    """Ground below a pixel of each part in that of its polygon's first part, 1 if all but equal."""
    _, first, which = np.unique(polygon, return_index=True, return_inverse=True)
    size = per_pixel / per_pixel[first][which]
    unequal = np.abs(size - 1) > _EQUAL_SIZES
    return np.where(np.isin(polygon, polygon[unequal]), size, 1.0)


def _area(shapes: np.ndarray) -> np.ndarray:
    import shapely

    area: np.ndarray = np.nan_to_num(shapely.area(shapes))
    return area


def _without_taken(claims: Claims, part: np.ndarray, grids: list[PixelGrid]) -> np.ndarray:
    """Take from each part the ground of the parts of its polygon that come before it."""
    import shapely

    part = part.copy()
    order = np.argsort(claims.polygon, kind="stable")
    several = np.flatnonzero(np.diff(claims.polygon[order]) == 0)
    if not several.size:
        return part
    bounds = shapely.bounds(claims.part)
    starts = np.searchsorted(claims.polygon[order], claims.polygon[order])
    for position in (several + 1).tolist():
        k = order[position]
        before = order[starts[position] : position]
        west, south, east, north = bounds[before].T
        w, s, e, n = bounds[k]
        near = before[(west < e) & (east > w) & (south < n) & (north > s)]
        for j in near.tolist():
            if part[k] is None:
                break
            if part[j] is None or not _share_ground(claims.part[j], claims.part[k]):
                continue
            taken = shape_in_grid(part[j], grids[claims.file[j]], grids[claims.file[k]])
            part[k] = overlay("difference", part[k : k + 1], np.array([taken], dtype=object))[0]
    return part


def _share_ground(one: Any, other: Any) -> bool:
    import shapely

    shared = overlay("intersection", *(np.array([shape], dtype=object) for shape in (one, other)))
    return bool(shapely.area(shared)[0] > _TRACE * min(one.area, other.area))
