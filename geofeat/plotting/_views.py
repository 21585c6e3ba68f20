"""Where the pixels of a map or a globe lie, and how its axes are finished."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import LimitError

# Pixels where no resolution is asked for: 360 x 180 of the world, 400 x 400 of a globe.
_MAP_PIXELS = 360 * 180
_GLOBE_SIDE = 400
# A picture of more is no picture.
_MAX_PIXELS = 10_000_000
# Degrees of latitude up to which a map is drawn true to shape in its middle.
_TALLEST_LOCAL_MAP = 60.0
_GRATICULE_DEGREES = 30
_INK = "#22303C"


class MapView(NamedTuple):
    """A north-up map of longitude and latitude: its edges and number of pixels."""

    west: float
    south: float
    east: float
    north: float
    width: int = 0
    height: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.height, self.width

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges in the order of matplotlib."""
        return self.west, self.east, self.south, self.north

    @property
    def aspect(self) -> float:
        """How many times longer a degree of latitude is drawn than one of longitude."""
        if self.north - self.south > _TALLEST_LOCAL_MAP:
            return 1.0
        middle = min(abs(self.south + self.north) / 2, 80.0)
        return 1.0 / math.cos(math.radians(middle))

    @property
    def figsize(self) -> tuple[float, float]:
        """Inches of a figure of its own."""
        ratio = (self.north - self.south) * self.aspect / (self.east - self.west)
        return (
            (6.4, max(5.8 * ratio, 1.6) + 0.5) if ratio < 0.8 else (max(5.0 / ratio, 2.6) + 1, 5.4)
        )

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels, counted along rows, have a place, and their longitude and latitude."""
        lon = self.west + (np.arange(self.width) + 0.5) * (self.east - self.west) / self.width
        lat = self.north - (np.arange(self.height) + 0.5) * (self.north - self.south) / self.height
        lon = np.where((lon >= -180) & (lon < 180), lon, (lon + 180) % 360 - 180)
        places = np.stack([axis.ravel() for axis in np.meshgrid(lon, lat)], axis=1)
        return np.arange(self.width * self.height), places

    def cells_of(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Pixels, counted along rows, that contain places; -1 outside."""
        east = (lon - self.west) % 360.0 * self.width / (self.east - self.west)
        south = (self.north - lat) * self.height / (self.north - self.south)
        inside = (east < self.width) & (south >= 0) & (south <= self.height)
        rows = np.minimum(south[inside].astype(np.intp), self.height - 1)
        cells = np.full(lon.shape, -1)
        cells[inside] = rows * self.width + east[inside].astype(np.intp)
        return cells

    def draw(self, axes: Any, image: np.ndarray, **kwargs: Any) -> Any:
        """Draw an image of `shape`."""
        shown = axes.imshow(
            image, extent=self.extent, interpolation="nearest", aspect=self.aspect, **kwargs
        )
        self.finish(axes)
        return shown

    def project(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points are drawn."""
        outside = (lon < self.west) | (lon > self.east)
        return np.where(outside, (lon - self.west) % 360 + self.west, lon), lat

    def finish(self, axes: Any) -> None:
        """Limits, shape and degrees."""
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        axes.set_xlim(self.west, self.east)
        axes.set_ylim(self.south, self.north)
        axes.set_aspect(self.aspect)
        for axis, span, label in (
            (axes.xaxis, self.east - self.west, _longitude_label),
            (axes.yaxis, self.north - self.south, _latitude_label),
        ):
            steps = [1, 1.5, 3, 6, 9, 10] if span >= 15 else [1, 2, 5, 10]
            axis.set_major_locator(MaxNLocator(nbins=6, steps=steps))
            axis.set_major_formatter(FuncFormatter(partial(_degrees, axis, label)))
        axes.tick_params(labelsize=9, length=3)


class GlobeView(NamedTuple):
    """The half of the globe around a centre, as seen from afar: a disk of radius 1."""

    lon: float
    lat: float
    side: int = _GLOBE_SIDE

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.side, self.side

    @property
    def figsize(self) -> tuple[float, float]:
        """Inches of a figure of its own."""
        return (5.0, 5.0)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels, counted along rows, have a place, and their longitude and latitude.

        Pixels that the edge of the disk cuts stand for the nearest place on it.
        """
        step = 2.0 / self.side
        across = -1.0 + (np.arange(self.side) + 0.5) * step
        x, y = (axis.ravel() for axis in np.meshgrid(across, -across))
        distance = np.hypot(x, y)
        pixels = np.flatnonzero(distance < 1.0 + step)
        shrink = np.maximum(distance[pixels], 1.0)
        return pixels, np.stack(self.unproject(x[pixels] / shrink, y[pixels] / shrink), axis=1)

    def unproject(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of points of the disk."""
        height = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.0))
        sin, cos = self._sin_cos()
        lat = np.degrees(np.arcsin(np.clip(height * sin + y * cos, -1.0, 1.0)))
        lon = self.lon + np.degrees(np.arctan2(x, height * cos - y * sin))
        return (lon + 180.0) % 360.0 - 180.0, lat

    def project(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points are drawn; NaN on the far half."""
        turn, theta = np.radians(lon - self.lon), np.radians(lat)
        sin, cos = self._sin_cos()
        x = np.cos(theta) * np.sin(turn)
        y = cos * np.sin(theta) - sin * np.cos(theta) * np.cos(turn)
        near = sin * np.sin(theta) + cos * np.cos(theta) * np.cos(turn) >= -1e-12
        return np.where(near, x, np.nan), np.where(near, y, np.nan)

    def draw(self, axes: Any, image: np.ndarray, **kwargs: Any) -> Any:
        """Draw an image of `shape`, cut by the edge of the disk."""
        from matplotlib.patches import Circle

        shown = axes.imshow(image, extent=(-1, 1, -1, 1), interpolation="nearest", **kwargs)
        shown.set_clip_path(Circle((0, 0), 1, transform=axes.transData))
        self.finish(axes)
        return shown

    def finish(self, axes: Any) -> None:
        """Limits, graticule and outline; no ticks."""
        from matplotlib.patches import Circle

        fine = np.linspace(-90, 90, 181)
        for lon in range(-180, 180, _GRATICULE_DEGREES):
            self._line(axes, np.full(fine.size, float(lon)), fine)
        for lat in range(_GRATICULE_DEGREES - 90, 90, _GRATICULE_DEGREES):
            self._line(axes, 2 * fine, np.full(fine.size, float(lat)))
        axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=_INK, linewidth=0.8, zorder=3))
        axes.set_xlim(-1.015, 1.015)
        axes.set_ylim(-1.015, 1.015)
        axes.set_aspect("equal")
        axes.set_axis_off()

    def _sin_cos(self) -> tuple[float, float]:
        """Sine and cosine of the centre's latitude."""
        return math.sin(math.radians(self.lat)), math.cos(math.radians(self.lat))

    def _line(self, axes: Any, lon: np.ndarray, lat: np.ndarray) -> None:
        x, y = self.project(lon, lat)
        if not np.isnan(x).all():
            axes.plot(x, y, color=_INK, alpha=0.3, linewidth=0.5, zorder=1.5)


def map_view(bounds: Sequence[float] | None, resolution: Any) -> MapView:
    """Check bounds and resolution, and count the pixels that fill the bounds."""
    west, south, east, north = (-180, -90, 180, 90) if bounds is None else _four(bounds)
    if west > east:
        east += 360.0
    if not (-90 <= south < north <= 90 and 0 < east - west <= 360):
        raise ValueError(
            f"bounds are west, south, east, north in degrees, south below north, got "
            f"{tuple(bounds or ())}"
        )
    view = MapView(float(west), float(south), float(east), float(north))
    if resolution is None:
        ratio = (east - west) / ((north - south) * view.aspect)
        width = math.sqrt(_MAP_PIXELS * ratio)
        height = width / ratio
    else:
        x_size, y_size = np.broadcast_to(np.asarray(resolution, dtype=np.float64), 2).tolist()
        _check_resolution(min(x_size, y_size), resolution)
        width, height = (east - west) / x_size, (north - south) / y_size
    _refuse_too_many(width * height)
    return view._replace(width=max(1, round(width)), height=max(1, round(height)))


def globe_view(center: Sequence[float], resolution: Any) -> GlobeView:
    """Check the centre and the resolution, which holds in the middle of the disk."""
    lon, lat = center_of(center)
    if resolution is None:
        return GlobeView(lon, lat)
    size = float(resolution)
    _check_resolution(size, resolution)
    side = 2.0 / math.radians(size)
    _refuse_too_many(side * side)
    return GlobeView(lon, lat, max(1, round(side)))


def center_of(center: Sequence[float]) -> tuple[float, float]:
    """Longitude and latitude of a globe's centre."""
    try:
        lon, lat = (float(number) for number in center)
    except (TypeError, ValueError) as error:
        raise ValueError(f"center is (lon, lat) in degrees, got {center!r}") from error
    if not (math.isfinite(lon) and -90 <= lat <= 90):
        raise ValueError(f"center is (lon, lat) in degrees, latitude in [-90, 90], got {center!r}")
    return lon, lat


def view_of_points(
    lon: np.ndarray, lat: np.ndarray, bounds: Sequence[float] | None = None
) -> MapView:
    """Find the map of all points, across the antimeridian where they lie on both its sides."""
    if bounds is not None:
        return map_view(bounds, None)
    lon, lat = lon[np.isfinite(lon)], lat[np.isfinite(lat)]
    if lon.size == 0:
        return MapView(-180.0, -90.0, 180.0, 90.0)
    ordered = np.unique(lon)
    west, east = float(ordered[0]), float(ordered[-1])
    south, north = float(lat.min()), float(lat.max())
    gaps = np.diff(ordered)
    crosses = bool(gaps.size) and gaps.max() > 180
    if crosses:
        after = int(gaps.argmax())
        west, east = float(ordered[after + 1]), float(ordered[after]) + 360.0
    margin = max(0.04 * max(east - west, north - south), 1e-4)
    south, north = max(south - margin, -90.0), min(north + margin, 90.0)
    west, east = west - margin, east + margin
    if not crosses:
        west, east = max(west, -180.0), min(east, 180.0)
    return MapView(west, south, east, north)


def _four(bounds: Sequence[float]) -> list[float]:
    try:
        edges = [float(edge) for edge in bounds]
    except (TypeError, ValueError):
        edges = []
    if len(edges) != 4:
        raise ValueError(f"bounds are four numbers, west, south, east, north, got {bounds!r}")
    return edges


def _check_resolution(size: float, resolution: Any) -> None:
    if not (size > 0 and math.isfinite(size)):
        raise ValueError(f"resolution must be above 0 degrees, got {resolution!r}")


def _refuse_too_many(n_pixels: float) -> None:
    if n_pixels > _MAX_PIXELS:
        raise LimitError(
            f"a picture of {n_pixels:.3g} pixels: take a coarser resolution, at most "
            f"{_MAX_PIXELS:,} pixels are drawn"
        )


def _degrees(axis: Any, label: Any, value: float, _: Any = None) -> str:
    """Label of a tick, with as many decimals as the others need."""
    texts = [f"{abs(tick):.6f}".rstrip("0") for tick in axis.get_majorticklocs()]
    decimals = max((len(text) - text.index(".") - 1 for text in texts), default=0)
    return label(round(value, 6), decimals)


def _longitude_label(x: float, decimals: int) -> str:
    x = (x + 180.0) % 360.0 - 180.0
    side = "" if x in (0.0, -180.0) else "E" if x > 0 else "W"
    return f"{abs(x):.{decimals}f}°{side}"


def _latitude_label(y: float, decimals: int) -> str:
    return f"{abs(y):.{decimals}f}°{'N' if y > 0 else 'S' if y < 0 else ''}"
