"""The grid of a map: which lattice, which part of it, and in which pieces it is worked off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat._coordinates import is_geometry
from geofeat.exceptions import SourceError
from geofeat.rasters._projection import PixelGrid
from geofeat.rasters._sources import Source

if TYPE_CHECKING:
    import shapely

_USUAL_BLOCK = 256
_POINTS_PER_EDGE = 64
# Points a side of the lattice that looks for a file, tried one after the other.
_PROBES = (9, 65, 257)
# Share of a pixel by which edges may miss each other through the rounding of decimals.
_ROUNDING = 1e-4
_DEGREES = "EPSG:4326"


class MapArea(NamedTuple):
    """Where a map is wanted: a geometry in a CRS, and whether pixels outside it stay empty."""

    geometry: shapely.Geometry
    crs: Any
    masks: bool

    def in_crs(self, crs: Any) -> Any:
        """Reproject the geometry, with corners close enough that edges bend as they should."""
        import geopandas

        west, south, east, north = self.geometry.bounds
        step = max(east - west, north - south, 1e-9) / _POINTS_PER_EDGE
        line = geopandas.GeoSeries([self.geometry.segmentize(step)], crs=self.crs)
        return line.to_crs(crs).iloc[0]


class Tile(NamedTuple):
    """A piece of a map: first row and column, height and width in pixels."""

    row: int
    col: int
    height: int
    width: int


class MapGrid(NamedTuple):
    """A north-up grid: its corner in the north-west, size of a pixel, pixels each way.

    ``block`` is (height, width) of the source's blocks in pixels of the map and ``phase`` the
    first row and column at which a new one begins.
    """

    crs: str
    west: float
    north: float
    x_size: float
    y_size: float
    width: int
    height: int
    block: tuple[int, int]
    phase: tuple[int, int]

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Six numbers of the geotransform, as in `PixelGrid`."""
        return (self.x_size, 0.0, self.west, 0.0, -self.y_size, self.north)

    def tiles(self, max_pixels: int) -> Iterator[Tile]:
        """Pieces of whole blocks, of at most ``max_pixels`` each; a larger block is cut."""
        height, width = self.block
        if height * width > max_pixels:
            height = max(1, max_pixels // width)
        across = max(1, min(-(-self.width // width), max_pixels // (height * width)))
        down = 1
        if across * width >= self.width:
            down = max(1, max_pixels // (across * height * width))
        cols = _cuts(self.width, self.phase[1], width * across)
        for top, bottom in _cuts(self.height, self.phase[0], height * down):
            for left, right in cols:
                yield Tile(top, left, bottom - top, right - left)

    def lonlat(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitude in [-180, 180) and latitude of pixel centres; NaN where there are none."""
        from pyproj import CRS, Transformer

        x = self.west + (col + 0.5) * self.x_size
        y = self.north - (row + 0.5) * self.y_size
        system = CRS.from_user_input(self.crs)
        if system.to_epsg() != 4326:
            x, y = Transformer.from_crs(system, _DEGREES, always_xy=True).transform(x, y)
        good = np.isfinite(x) & np.isfinite(y) & (np.abs(y) <= 90)
        lon = np.remainder(np.where(good, x, 0.0) + 180.0, 360.0) - 180.0
        return np.where(good, lon, np.nan), np.where(good, y, np.nan)


def _cuts(length: int, phase: int, step: int) -> list[tuple[int, int]]:
    edges = [0, *range(phase or step, length, step), length]
    return list(pairwise(edges))


def map_area(bounds: Any) -> MapArea | None:
    """Read ``bounds``: None, four numbers in degrees, a geometry in degrees, a frame with a CRS."""
    if bounds is None:
        return None
    import shapely

    if is_geometry(bounds):
        if bounds.crs is None:
            raise ValueError("bounds has no coordinate reference system; set it with set_crs(...)")
        return _checked(MapArea(bounds.geometry.union_all(), bounds.crs, True))
    if isinstance(bounds, shapely.Geometry):
        return _checked(MapArea(bounds, _DEGREES, True))
    edges = np.asarray(bounds, dtype=np.float64)
    if edges.shape != (4,):
        raise ValueError(
            f"bounds must be (west, south, east, north) in degrees, a polygon or a GeoDataFrame, "
            f"got {bounds!r}"
        )
    west, south, east, north = edges.tolist()
    east += 360.0 if west > east else 0.0
    if not (-90 <= south < north <= 90 and 0 < east - west <= 360):
        raise ValueError(
            f"bounds are west, south, east, north in degrees, south below north, got {bounds}"
        )
    return MapArea(shapely.box(west, south, east, north), _DEGREES, False)


def _checked(area: MapArea) -> MapArea:
    if area.geometry.is_empty or area.geometry.area == 0:
        raise ValueError("bounds holds no polygon: a map needs an area")
    return area


def map_grid(
    source: Source,
    area: MapArea | None,
    year: int,
    crs: Any,
    resolution: float | Sequence[float] | None,
) -> MapGrid:
    """Choose the grid of a map.

    Parameters
    ----------
    source : Source
        Its only file, or the file that serves most of the area, gives what is not asked for.
    area : MapArea or None
        None takes all of the only file.
    year : int
        Year of the layer.
    crs : object or None
        Coordinate reference system of the map.
    resolution : float, (float, float) or None
        Width and height of a pixel in units of the CRS; None in another CRS than the source's
        takes square pixels as large as the source's.
    """
    from pyproj import CRS

    find = getattr(source, "whole_grid", None)
    whole = find() if find is not None else None
    if area is None and whole is None:
        raise ValueError("bounds=None takes all of one file, the source has several: give bounds=")
    grid, block = (whole, _block_of(source, whole)) if whole else (None, (0, 0))
    if grid is None and (crs is None or resolution is None):
        assert area is not None
        grid, block = _serving_grid(source, area, year)
    if grid is not None and (crs is None or CRS.from_user_input(crs) == CRS(grid.crs)):
        lattice = _lattice(grid, resolution)
        crs = grid.crs
        if resolution is not None:
            block = (_USUAL_BLOCK, _USUAL_BLOCK)
    else:
        size = resolution if resolution is not None else _suited_size(grid, crs)
        x_size, y_size = _sizes(size)
        lattice, block = (0.0, 0.0, x_size, y_size), (_USUAL_BLOCK, _USUAL_BLOCK)
    limits: Any = None if whole is None else _outline(whole).in_crs(crs).bounds
    edges: Any = limits if area is None else area.in_crs(crs).bounds
    if not np.isfinite(edges).all():
        raise ValueError(f"bounds reach beyond where {CRS.from_user_input(crs).name} is defined")
    return _cut(CRS.from_user_input(crs).to_wkt(), lattice, block, edges, limits)


def _cut(
    crs: str,
    lattice: tuple[float, float, float, float],
    block: tuple[int, int],
    edges: Sequence[float],
    limits: Sequence[float] | None,
) -> MapGrid:
    """Pixels of a lattice that hold the edges west, south, east, north, within the limits."""
    x, y, x_size, y_size = lattice
    spans = []
    for low, high, origin, size, axis in (
        (edges[0], edges[2], x, x_size, 0),
        (-edges[3], -edges[1], -y, y_size, 1),
    ):
        first = math.floor((low - origin) / size + _ROUNDING)
        last = math.ceil((high - origin) / size - _ROUNDING)
        if limits is not None:
            least, most = (limits[0], limits[2]) if axis == 0 else (-limits[3], -limits[1])
            first = max(first, math.floor((least - origin) / size + _ROUNDING))
            last = min(last, math.ceil((most - origin) / size - _ROUNDING))
        if last <= first:
            raise ValueError("bounds lie beside the source: the map would have no pixel")
        spans.append((first, last))
    (left, right), (top, bottom) = spans
    return MapGrid(
        crs,
        x + left * x_size,
        y - top * y_size,
        x_size,
        y_size,
        right - left,
        bottom - top,
        block,
        (-top % block[0], -left % block[1]),
    )


def _sizes(resolution: float | Sequence[float]) -> tuple[float, float]:
    x_size, y_size = np.broadcast_to(np.asarray(resolution, dtype=np.float64), 2).tolist()
    if not (min(x_size, y_size) > 0 and math.isfinite(x_size + y_size)):
        raise ValueError(f"resolution must be above 0, got {resolution}")
    return x_size, y_size


def _lattice(
    grid: PixelGrid, resolution: float | Sequence[float] | None
) -> tuple[float, float, float, float]:
    """Corner of a pixel, its width and height: of a grid, or with the resolution asked for."""
    a, b, c, d, e, f = grid.transform
    if resolution is not None:
        x_size, y_size = _sizes(resolution)
    else:
        x_size, y_size = math.hypot(a, d), math.hypot(b, e)
    return c, f, x_size, y_size


def _outline(grid: PixelGrid) -> MapArea:
    """Outline of a raster in its own CRS."""
    import shapely

    a, b, c, d, e, f = grid.transform
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    line = [(a * col + b * row + c, d * col + e * row + f) for col, row in corners]
    return MapArea(shapely.Polygon(line), grid.crs, False)


def _suited_size(grid: PixelGrid | None, crs: Any) -> float:
    """Side of the square in another CRS that is as large as a grid's middle pixel there."""
    from pyproj import Transformer

    assert grid is not None
    a, b, c, d, e, f = grid.transform
    col = grid.width / 2 + np.array([0.0, 1.0, 0.0])
    row = grid.height / 2 + np.array([0.0, 0.0, 1.0])
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(
        a * col + b * row + c, d * col + e * row + f
    )
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return math.sqrt(abs(area))


def _block_of(source: Source, grid: PixelGrid) -> tuple[int, int]:
    """Block of a source's only file, found at its middle pixel."""
    middle = MapGrid(grid.crs, 0.0, 0.0, 1.0, 1.0, 1, 1, (1, 1), (0, 0))
    a, b, c, d, e, f = grid.transform
    col, row = grid.width // 2 + 0.5, grid.height // 2 + 0.5
    x, y = a * col + b * row + c, d * col + e * row + f
    lon, lat = middle._replace(west=x - 0.5, north=y + 0.5).lonlat(np.zeros(1), np.zeros(1))
    for year in source.years or (-1,):
        for file in source.locate(lon, lat, np.full(1, year)).files:
            return getattr(file, "blocks", (_USUAL_BLOCK, _USUAL_BLOCK))
    return _USUAL_BLOCK, _USUAL_BLOCK


def _serving_grid(source: Source, area: MapArea, year: int) -> tuple[PixelGrid, tuple[int, int]]:
    """Grid and block of the file that serves most of an area."""
    west, south, east, north = area.in_crs(_DEGREES).bounds
    for n_probes in _PROBES:
        share = (np.arange(n_probes) + 0.5) / n_probes
        lon, lat = np.meshgrid(west + share * (east - west), south + share * (north - south))
        lon = np.remainder(lon.ravel() + 180.0, 360.0) - 180.0
        found = source.locate(lon, lat.ravel(), np.full(lon.size, year))
        if not found.file.size:
            continue
        file = found.files[int(np.bincount(found.file).argmax())]
        if not hasattr(file, "grid"):
            raise ValueError("the source tells no grid of pixels: give crs= and resolution=")
        return file.grid, getattr(file, "blocks", (_USUAL_BLOCK, _USUAL_BLOCK))
    raise SourceError(
        type(source).__name__,
        f"has no file between {west:g}, {south:g} and {east:g}, {north:g}"
        + (f" in {year}" if year >= 0 else ""),
    )
