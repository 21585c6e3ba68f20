"""Which files' footprints cover a point, in longitude and latitude."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from geofeat.rasters._projection import PixelGrid

if TYPE_CHECKING:
    import shapely


# Up to so many footprints are compared with all points, more are looked up in a tree.
_FEW_PARTS = 64


class Footprints:
    """Footprints of files, cut at the antimeridian, and a tree over them.

    Parameters
    ----------
    boxes : float64 array of shape (n_files, 4)
        West, south, east, north in degrees; a west beyond the east crosses the antimeridian.
    polygons : array of shapely geometries of shape (n_files,), default=None
        Exact footprints; without them the boxes count. Edges belong to a footprint.
    """

    def __init__(self, boxes: np.ndarray, polygons: np.ndarray | None = None):
        self.boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        self.polygons = polygons

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Boxes that do not cross the antimeridian, the file of each, polygons inside them."""
        import shapely

        if self.polygons is None:
            return (*_cut_boxes(self.boxes), None)
        west, _, east, _ = shapely.bounds(self.polygons).T
        whole = (east - west <= 180) & (west >= -180) & (east <= 180)
        parts = [self.polygons[whole]]
        owners = [np.flatnonzero(whole)]
        for i in np.flatnonzero(~whole):
            pieces = _cut_polygon(self.polygons[i])
            parts.append(np.array(pieces, dtype=object))
            owners.append(np.full(len(pieces), i))
        polygons = np.concatenate(parts)
        shapely.prepare(polygons)
        return shapely.bounds(polygons), np.concatenate(owners), polygons

    @cached_property
    def _tree(self) -> shapely.STRtree:
        import shapely

        return shapely.STRtree(shapely.box(*self._parts[0].T))

    def covering(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (point, file) of points and the files that cover them, both int64, sorted.

        Longitudes lie in [-180, 180); -180 is also looked for at 180.
        """
        _, owners, _ = self._parts
        seam = np.flatnonzero(lon == -180.0)
        x = np.concatenate([lon, np.full(seam.size, 180.0)])
        y = np.concatenate([lat, lat[seam]])
        index = np.concatenate([np.arange(lon.size), seam])
        point, part = self._pairs(x, y)
        n_files = max(1, len(self.boxes))
        keys = np.unique(index[point] * n_files + owners[part])
        return keys // n_files, keys % n_files

    def _pairs(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (point, part), each once."""
        import shapely

        boxes, _, polygons = self._parts
        reached = np.arange(len(boxes))
        if reached.size > _FEW_PARTS:  # the tree tells which parts deserve a closer look
            point, part = self._tree.query(shapely.points(x, y))
            order = np.argsort(part, kind="stable")
            point, part = point[order], part[order]
            reached, first = np.unique(part, return_index=True)
            members = np.split(point, first[1:])
        else:
            members = [
                np.flatnonzero((x >= west) & (x <= east) & (y >= south) & (y <= north))
                for west, south, east, north in boxes.tolist()
            ]
        if polygons is not None:
            members = [
                rows[shapely.intersects_xy(polygons[i], x[rows], y[rows])]
                for i, rows in zip(reached, members, strict=True)
            ]
        points = np.concatenate([np.empty(0, dtype=np.int64), *members])
        return points, np.repeat(reached, [rows.size for rows in members])


def grid_box(grid: PixelGrid, edge_tolerance: float = 0.0) -> tuple[float, float, float, float]:
    """West, south, east, north of a raster in degrees, a little wide rather than narrow.

    ``edge_tolerance`` widens the raster by so many pixels first.
    """
    from pyproj import CRS, Transformer

    a, b, c, d, e, f = grid.transform
    sides = [(-edge_tolerance, size + edge_tolerance) for size in (grid.width, grid.height)]
    xs = [c + a * i + b * j for i in sides[0] for j in sides[1]]
    ys = [f + d * i + e * j for i in sides[0] for j in sides[1]]
    edges = min(xs), min(ys), max(xs), max(ys)
    crs = CRS.from_user_input(grid.crs)
    if crs.is_geographic and crs.to_epsg() == 4326:
        west, south, east, north = edges
    else:
        to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(*edges, densify_pts=21)
    if not np.isfinite([west, south, east, north]).all():
        return -180.0, -90.0, 180.0, 90.0
    # Edges bulge between the densified points, by a share of the box.
    width = east - west if east >= west else east - west + 360
    margin = 1e-3 * max(width, north - south) + 1e-6
    if width + 2 * margin >= 360:
        west, east = -180.0, 180.0
    else:
        west, east = west - margin, east + margin
    return west, max(south - margin, -90.0), east, min(north + margin, 90.0)


def _cut_boxes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes within [-180, 180] and the row of ``boxes`` each stems from."""
    parts, owners = [], []
    for i, (west, south, east, north) in enumerate(boxes.tolist()):
        width = east - west if east >= west else east - west + 360
        if width >= 360:
            spans = [(-180.0, 180.0)]
        else:
            inside = -180 <= west <= 180 and -180 <= east <= 180 and west <= east
            start = west if inside else (west + 180) % 360 - 180
            end = east if inside else start + width
            spans = [(start, min(end, 180.0))]
            if end > 180:
                spans.append((-180.0, end - 360))
        for low, high in spans:
            parts.append((low, south, high, north))
            owners.append(i)
    return np.array(parts, dtype=np.float64).reshape(-1, 4), np.array(owners, dtype=np.int64)


def _cut_polygon(polygon: Any) -> list[Any]:
    """Cut a polygon that crosses the antimeridian into parts on either side of it."""
    import shapely
    from shapely import affinity

    west, _, east, _ = polygon.bounds
    if east - west > 180 and west >= -180 and east <= 180:  # written with jumping longitudes
        polygon = shapely.transform(polygon, _in_eastern_turn)
    parts = []
    for turn in (-360, 0, 360):
        moved = affinity.translate(polygon, xoff=turn)
        part = shapely.intersection(moved, shapely.box(-180, -90, 180, 90))
        if not part.is_empty and part.area > 0:
            parts.append(part)
    return parts


def _in_eastern_turn(lonlat: np.ndarray) -> np.ndarray:
    """Longitudes of shape (n, 2) coordinates moved to [0, 360)."""
    lon = np.where(lonlat[:, 0] < 0, lonlat[:, 0] + 360, lonlat[:, 0])
    return np.column_stack([lon, lonlat[:, 1]])
