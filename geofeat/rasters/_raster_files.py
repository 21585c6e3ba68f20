"""Raster files named one by one: what is known of them without an index."""

from __future__ import annotations

import datetime as dt
import glob
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from geofeat._threads import run_tasks
from geofeat.exceptions import RasterMismatchError, SourceError
from geofeat.rasters._addresses import is_remote, resolve
from geofeat.rasters._candidates import NO_LAYER_YEAR
from geofeat.rasters._catalogue import Layer, utm_zone
from geofeat.rasters._footprints import Footprints, grid_box, own_zone_boxes
from geofeat.rasters._header import RasterHeader, look_at_remote, read_header
from geofeat.rasters._projection import PixelGrid, containing_pixels, pixel_positions

_SUFFIXES = (".tif", ".tiff")
_YEAR = re.compile(r"\d{4}")
_YEAR_IN_NAME = re.compile(r"(?:^|[_-])(\d{4})(?=[_.-]|$)")
_FIRST_YEAR = 2017  # of AlphaEarth, the one source that takes years from paths
_ELSEWHERE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://|/vsi)")


class RasterFiles:
    """Headers and footprints of a list of files, read when first needed and then kept.

    Parameters
    ----------
    paths : list of str
        In the order of preference.
    years : list of int
        One a file; all `NO_LAYER_YEAR` when layers carry no year.
    check : callable, default: take every header
        Returns the header of a file to be used, or raises what is wrong with it.
    edge_tolerance : float
        Pixels by which rasters reach beyond their edges.
    own_zone_only : bool
        Whether a raster in a UTM zone serves points of that zone only.
    """

    def __init__(
        self,
        paths: list[str],
        years: list[int],
        check: Callable[[RasterHeader], RasterHeader] = lambda header: header,
        edge_tolerance: float = 0.0,
        own_zone_only: bool = False,
    ):
        self.paths = paths
        self._check = check
        self._edge_tolerance = edge_tolerance
        self._own_zone_only = own_zone_only
        self.file_years = years
        self._headers: dict[str, RasterHeader] = {}
        self._layers: dict[int, Layer | None] = {}

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years on hand, None when layers carry none."""
        found = tuple(sorted(set(self.file_years)))
        return None if found == (NO_LAYER_YEAR,) else found

    def header(self, path: str) -> RasterHeader:
        """Header of one file."""
        if path not in self._headers:
            self._headers[path] = self._check(read_header(path))
        return self._headers[path]

    def only_grid(self) -> PixelGrid | None:
        """Grid of the file, where there is one only."""
        return self.header(self.paths[0]).grid if len(self.paths) == 1 else None

    def layer(self, year: int) -> Layer | None:
        """Files of one year, checked to agree in bands and type."""
        if year not in self._layers:
            paths = [p for p, y in zip(self.paths, self.file_years, strict=True) if y == year]
            self._layers[year] = self._read_layer(paths) if paths else None
        return self._layers[year]

    def covered_at_all(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Whether a raster of any year contains the points."""
        covered = np.zeros(lon.size, dtype=bool)
        for year in sorted(set(self.file_years)):
            layer = self.layer(year)
            if layer is None:
                continue
            point, file = layer.footprints.covering(lon, lat)
            grids = [self.header(path).grid for path in layer.paths]
            position = pixel_positions(lon[point], lat[point], file, grids)
            width, height = (
                np.array([getattr(grid, side) for grid in grids])[file]
                for side in ("width", "height")
            )
            _, _, inside = containing_pixels(*position, width, height, self._edge_tolerance)
            covered[point[inside]] = True
        return covered

    def _read_layer(self, paths: list[str]) -> Layer:
        look_at_remote(paths)
        run_tasks(self.header, paths)
        headers = [self.header(path) for path in paths]
        first = self.header(self.paths[0])
        for header in headers:
            if (header.n_bands, header.dtype) != (first.n_bands, first.dtype):
                raise RasterMismatchError(
                    header.path,
                    f"has {header.n_bands} {header.dtype} bands, {first.path} has {first.n_bands} "
                    f"{first.dtype} bands; one source reads rasters of one kind",
                )
            for band, pair in enumerate(
                zip(header.descriptions, first.descriptions, strict=True), start=1
            ):
                if all(pair) and pair[0] != pair[1]:
                    raise RasterMismatchError(
                        header.path,
                        f"calls its band {band} {pair[0]!r}, {first.path} calls it {pair[1]!r}; "
                        "bands of one source come in one order",
                    )
        boxes = np.array([grid_box(header.grid, self._edge_tolerance) for header in headers])
        owners = None
        if self._own_zone_only:
            boxes, owners = own_zone_boxes(boxes, [utm_zone(header.epsg) for header in headers])
        zones = np.full(len(paths), "", dtype=object)
        return Layer(paths, zones, Footprints(boxes, owners=owners))


def raster_paths(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """Files meant by a file, a folder, a pattern with * or ?, or a list of those.

    Folders are searched to any depth for .tif and .tiff. So is what a pattern finds, unless it
    spells out a suffix: a .vrt is read only when named, as in ``dir/*.vrt``. The files of a folder
    or pattern come sorted by path, lists keep their order.
    """
    if isinstance(paths, str | os.PathLike):
        name = os.fspath(paths)
        if is_remote(name):
            return [_remote_file(name)]
        name = local_path(name)
        if Path(name).is_dir():
            found = [
                str(p)
                for p in Path(name).rglob("*")
                if p.suffix.lower() in _SUFFIXES and p.is_file()
            ]
            if not found:
                raise SourceError(name, "holds no .tif or .tiff file")
            return sorted(found)
        if not Path(name).exists() and any(sign in name for sign in "*?["):
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute patterns
            suffix = Path(name).suffix
            if not suffix or any(sign in suffix for sign in "*?["):
                found = [p for p in found if Path(p).suffix.lower() in _SUFFIXES]
            if not found:
                raise FileNotFoundError(f"no file matches {name}")
            return found
        if not Path(name).exists():
            raise FileNotFoundError(f"{name} does not exist")
        return [name]
    found = [file for path in paths for file in raster_paths(path)]
    if not found:
        raise ValueError("a source needs at least one raster, got an empty list")
    return found


def _remote_file(url: str) -> str:
    """Check that an address may be one of a raster; nothing is asked for yet."""
    address = resolve(url)
    name = urlsplit(address.url).path.rpartition("/")[2].lower()
    if not name or any(sign in name for sign in "*?["):
        raise SourceError(
            address.shown,
            "is no address of one file; folders and patterns are searched on this computer only",
        )
    if name.endswith(".vrt"):
        raise SourceError(address.shown, "is a .vrt, which is read from this computer's disks only")
    return url


def local_path(path: str) -> str:
    """Return the path unless it names a place that only a network reaches."""
    if is_elsewhere(path):
        raise SourceError(
            path,
            "is not a local file; copy it here. What an index names is found in the copies by "
            "AlphaEarthSource(index, root=...) or prefixes=",
        )
    return path


def is_elsewhere(path: str) -> bool:
    """Whether a path is an address of any scheme or a virtual path of GDAL's."""
    return bool(_ELSEWHERE.match(path))


def year_in_path(path: str) -> int | None:
    """Year of AlphaEarth that a path tells: the last folder that is one, or a part of the name.

    Years before the first and after the next one are numbers of another kind.

    Raises
    ------
    ValueError
        The folder and the name, or two parts of the name, tell different years.
    """
    parts = Path(path).parts
    folders = [int(part) for part in parts[:-1] if _YEAR.fullmatch(part)]
    names = [int(part) for part in _YEAR_IN_NAME.findall(Path(path).stem)]
    plausible = range(_FIRST_YEAR, dt.datetime.now(dt.UTC).year + 2)
    told = {year for year in names if year in plausible}
    told.update([year for year in folders if year in plausible][-1:])
    if len(told) > 1:
        years = " and ".join(map(str, sorted(told)))
        raise ValueError(f"the path {path} says {years}, give year=")
    return told.pop() if told else None
