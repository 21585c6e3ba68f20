"""Which files' footprints cover a point, in longitude and latitude."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geofeat.rasters._projection import PixelGrid, inverse_transform

if TYPE_CHECKING:
    import shapely


# Up to so many footprints are compared with all points, more are looked up in a tree.
_FEW_PARTS = 64
_POINTS_PER_EDGE = 64
_WORLD = (-180.0, -90.0, 180.0, 90.0)


class Footprints:
    """Footprints of files, cut at the antimeridian, and a tree over them.

    Parameters
    ----------
    boxes : float64 array of shape (n_boxes, 4)
        West, south, east, north in degrees; a west beyond the east crosses the antimeridian.
    polygons : array of shapely geometries of shape (n_files,), default=None
        Exact footprints; without them the boxes count. Edges belong to a footprint.
    owners : int64 array of shape (n_boxes,), default=None
        The file of each box where files have none or several; None: each its own.
    """

    def __init__(
        self,
        boxes: np.ndarray,
        polygons: np.ndarray | None = None,
        owners: np.ndarray | None = None,
    ):
        self.boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        self.polygons = polygons
        self.owners = np.arange(len(self.boxes)) if owners is None else owners

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Boxes that do not cross the antimeridian, the file of each, polygons inside them."""
        import shapely

        if self.polygons is None:
            boxes, rows = _cut_boxes(self.boxes)
            return boxes, self.owners[rows], None
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
        n_files = int(owners.max(initial=0)) + 1
        keys = np.unique(index[point] * n_files + owners[part])
        return keys // n_files, keys % n_files

    def meeting(self, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shapes, files and the region of each file whose box a shape meets.

        ``shapes`` are in degrees, longitudes in [-180, 180]; None meets nothing. A file that is cut
        at the antimeridian may come twice. Sorted by shape, then by file.
        """
        import shapely

        boxes, owners, polygons = self._parts
        shape, part = self._tree.query(shapes, predicate="intersects")
        order = np.lexsort((part, owners[part], shape))
        shape, part = shape[order], part[order]
        regions = shapely.box(*boxes.T) if polygons is None else polygons
        return shape, owners[part], regions[part]

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

    ``edge_tolerance`` widens the raster by so many pixels first. A raster whose outline leaves the
    domain of its projection gets the whole world.
    """
    x, y = _outline(grid, edge_tolerance)
    to_degrees = _to_degrees(grid.crs)
    if to_degrees is None:
        west, south, east, north = x.min(), y.min(), x.max(), y.max()
    else:
        lon, lat = to_degrees.transform(x, y)
        turn = (np.diff(lon) + 180.0) % 360.0 - 180.0 if np.isfinite(lon).all() else np.inf
        # After a jump of more than 90 degrees nobody knows which way round the outline went.
        if not np.isfinite(lat).all() or np.abs(turn).max() > 90.0:
            return _WORLD
        lon = lon[0] + np.concatenate([[0.0], np.cumsum(turn)])
        west, south, east, north = lon.min(), lat.min(), lon.max(), lat.max()
        for pole in (-90.0, 90.0):
            if _holds(grid, edge_tolerance, *to_degrees.transform(0.0, pole, direction="INVERSE")):
                west, east = -180.0, 180.0
                south, north = min(south, pole), max(north, pole)
    if not np.isfinite([west, south, east, north]).all():
        return _WORLD
    # Edges bulge between the points of the outline, by a share of the box.
    margin = 1e-3 * max(east - west, north - south) + 1e-6
    if east - west + 2 * margin >= 360:
        west, east = -180.0, 180.0
    else:
        west, east = west - margin, east + margin
    return (
        float(west),
        float(max(south - margin, -90.0)),
        float(east),
        float(min(north + margin, 90.0)),
    )


@lru_cache(maxsize=256)
def _to_degrees(crs: str) -> Any:
    """Build the transformer to longitude and latitude; None for a CRS that has them."""
    from pyproj import CRS, Transformer

    system = CRS.from_user_input(crs)
    if system.is_geographic and system.to_epsg() == 4326:
        return None
    return Transformer.from_crs(system, "EPSG:4326", always_xy=True)


def _outline(grid: PixelGrid, edge_tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of a closed line of points around a raster."""
    share = np.arange(_POINTS_PER_EDGE) / _POINTS_PER_EDGE
    zeros = np.zeros(_POINTS_PER_EDGE)
    around = np.concatenate([share, zeros + 1, 1 - share, zeros, [0.0]])
    col = -edge_tolerance + (grid.width + 2 * edge_tolerance) * around
    down = np.concatenate([zeros, share, zeros + 1, 1 - share, [0.0]])
    row = -edge_tolerance + (grid.height + 2 * edge_tolerance) * down
    a, b, c, d, e, f = grid.transform
    return a * col + b * row + c, d * col + e * row + f


def _holds(grid: PixelGrid, edge_tolerance: float, x: float, y: float) -> bool:
    """Whether a place lies in a raster."""
    if not (np.isfinite(x) and np.isfinite(y)):
        return False
    a, b, c, d, e, f = inverse_transform(grid.transform)
    col, row = a * x + b * y + c, d * x + e * y + f
    return bool(
        -edge_tolerance <= col <= grid.width + edge_tolerance
        and -edge_tolerance <= row <= grid.height + edge_tolerance
    )


def own_zone_boxes(boxes: np.ndarray, zones: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Parts of boxes in the UTM zones of their files, and the row of ``boxes`` of each part.

    ``zones`` are such as "32N"; a file of zone "" keeps its box. Where the standard zones are
    widened, off Norway and around Svalbard, every zone concerned may serve points.
    """
    parts, owners = _cut_boxes(boxes)
    pieces, rows = [], []
    for (west, south, east, north), owner in zip(parts.tolist(), owners.tolist(), strict=True):
        for low, bottom, high, top in _zone_areas(zones[owner]):
            piece = max(west, low), max(south, bottom), min(east, high), min(north, top)
            if piece[0] <= piece[2] and piece[1] <= piece[3]:
                pieces.append(piece)
                rows.append(owner)
    return np.array(pieces, dtype=np.float64).reshape(-1, 4), np.array(rows, dtype=np.int64)


def _zone_areas(zone: str) -> list[tuple[float, float, float, float]]:
    """West, south, east, north of the areas whose points may belong to a UTM zone."""
    if not zone:
        return [_WORLD]
    number, west = int(zone[:-1]), 6.0 * int(zone[:-1]) - 186.0
    if zone.endswith("S"):
        return [(west, -90.0, west + 6.0, 0.0)]
    areas = [(west, 0.0, west + 6.0, 90.0)]
    if number in (31, 32):
        areas.append((0.0, 56.0, 12.0, 64.0))
    if 31 <= number <= 37:
        areas.append((0.0, 72.0, 42.0, 84.0))
    return areas


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
        polygon = shapely.transform(polygon, in_eastern_turn)
    parts = []
    for turn in (-360, 0, 360):
        moved = affinity.translate(polygon, xoff=turn)
        part = shapely.intersection(moved, shapely.box(-180, -90, 180, 90))
        if not part.is_empty and part.area > 0:
            parts.append(part)
    return parts


def in_eastern_turn(lonlat: np.ndarray) -> np.ndarray:
    """Longitudes of shape (n, 2) coordinates moved to [0, 360)."""
    lon = np.where(lonlat[:, 0] < 0, lonlat[:, 0] + 360, lonlat[:, 0])
    return np.column_stack([lon, lonlat[:, 1]])
