"""Where the files lie that an AlphaEarth index names: in local mirrors, or where it says."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geofeat.exceptions import CorruptFileError, UnsafeFileError
from geofeat.rasters._alphaearth_tables import read_rows
from geofeat.rasters._catalogue import Layer
from geofeat.rasters._footprints import Footprints
from geofeat.rasters._header import RasterHeader, read_header
from geofeat.rasters._raster_files import is_elsewhere, local_path
from geofeat.rasters._remote import is_remote, join_url

SOURCE_COOPERATIVE = "https://data.source.coop/tge-labs/aef/v1/annual/aef_index.parquet"
GOOGLE_CLOUD = "gs://alphaearth_foundations/satellite_embedding/v1/annual/aef_index.parquet"
# Where the published indexes say that their files lie. Rows that name other places are refused.
_PUBLIC = (
    "gs://alphaearth_foundations/",
    "s3://us-west-2.opendata.source.coop/tge-labs/aef/",
    "https://data.source.coop/tge-labs/aef/",
    "https://storage.googleapis.com/alphaearth_foundations/",
)
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._+=-]{1,255}"
_NAME = re.compile(f"{_PART}(?:/{_PART})*")
_RASTER_SUFFIXES = (".tif", ".tiff")
# Folders of the published files.
_YEAR_AND_ZONE = re.compile(r"(?:^|/)(\d{4})/\d{1,2}[NS]/[^/]+$")


class AlphaEarthIndex:
    """Files that an index names, read year by year.

    Parameters
    ----------
    path : str
        The index: .parquet (plain or STAC), .gpkg or .csv, or the address of a parquet one.
    root : str or None
        Folder of a mirror, local or remote; None: see `_place`.
    prefixes : dict
        Folders that paths begin with and the local or remote ones that stand in their place.
    check : callable
        Returns the header of a file to be used, or raises what is wrong with it.
    """

    def __init__(
        self,
        path: str,
        root: str | None,
        prefixes: dict[str, str],
        check: Callable[[RasterHeader], RasterHeader],
    ):
        if not is_remote(path) and not Path(local_path(path)).is_file():
            raise FileNotFoundError(f"{path} does not exist")
        if root is not None and not is_remote(root) and not Path(local_path(root)).is_dir():
            raise FileNotFoundError(f"root {root} is no folder")
        self.path = path
        self._root = root
        self._beside = path.rpartition("/")[0] if is_remote(path) else str(Path(path).parent)
        self._prefixes = {
            f"{prefix.rstrip('/')}/" if prefix else "": (
                folder if is_remote(folder) else str(Path(local_path(folder)))
            )
            for prefix, folder in prefixes.items()
        }
        self._check = check
        self._layers: dict[int, Layer | None] = {}
        self._headers: dict[str, RasterHeader] = {}
        self._bases: dict[str, tuple[str, str]] = {}
        self._mirrored: dict[str, bool] = {}
        self._years: tuple[int, ...] | None = None
        self._lock = threading.Lock()
        self._anywhere: Footprints | None = None

    @property
    def years(self) -> tuple[int, ...]:
        """Years the index lists."""
        with self._lock:
            if self._years is None:
                self._years = tuple(np.unique(read_rows(self.path, None, "none").year).tolist())
            return self._years

    def header(self, path: str) -> RasterHeader:
        """Header of one file."""
        if path not in self._headers:
            if path in self._bases:
                base, row = self._bases[path]
                if not Path(path).resolve().is_relative_to(Path(base).resolve()):
                    raise UnsafeFileError(self.path, f"{row} names {path!r}, a link out of {base}")
            self._headers[path] = self._check(read_header(path))
        return self._headers[path]

    def layer(self, year: int) -> Layer | None:
        """Files of one year with their footprints; other years are not read where that can be."""
        with self._lock:
            if year not in self._layers:
                self._layers[year] = self._read_layer(year)
            return self._layers[year]

    def _read_layer(self, year: int) -> Layer | None:
        rows = read_rows(self.path, year, "polygons")
        if not rows.path:
            return None
        paths = [
            self._place(path, f"row {i} of {year}")
            for i, path in enumerate(_of_year(rows.path, year, self.path))
        ]
        return Layer(paths, rows.zone, Footprints(rows.box, rows.polygon))

    def covered_at_all(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Whether the index lists a file for the points in any year."""
        if self._anywhere is None:
            rows = read_rows(self.path, None, "boxes")
            self._anywhere = Footprints(np.unique(rows.box, axis=0))
        covered = np.zeros(lon.size, dtype=bool)
        open_points = np.unique(self._anywhere.covering(lon, lat)[0])
        for year in self.years:  # polygons are read only where a box holds a point
            layer = self.layer(year) if open_points.size else None
            if layer is not None:
                covered[
                    open_points[layer.footprints.covering(lon[open_points], lat[open_points])[0]]
                ] = True
                open_points = open_points[~covered[open_points]]
        return covered

    def _place(self, path: Any, row: str) -> str:
        """Where a file of the index is read, a local path or an address.

        A prefix the user gave is exchanged. Otherwise a relative path starts at the root, and of a
        remote one the last three parts, year/zone/name, do. Without a root the index's own folder
        is one for relative paths, and for remote ones if it is local and has a folder of that
        year; else the remote file itself is read. Absolute paths count where no root was given.
        """
        if not isinstance(path, str) or not path:
            raise CorruptFileError(self.path, f"{row} has no path")
        for prefix, folder in self._prefixes.items():
            if path.startswith(prefix):
                return self._below(folder, path.removeprefix(prefix).lstrip("/"), path, row)
        if is_elsewhere(path):
            name = "/".join(path.split("://")[-1].strip("/").split("/")[-3:])
            if self._root is None and not self._is_mirrored(name):
                return self._as_written(path, row)
            return self._below(self._root or self._beside, name, path, row)
        if self._root is None and Path(path).is_absolute() and ".." not in Path(path).parts:
            if is_remote(self.path):
                raise UnsafeFileError(self.path, f"{row} names {path!r}, a file of this computer")
            return self._below(str(Path(path).parent), Path(path).name, path, row)
        return self._below(self._root or self._beside, path, path, row)

    def _is_mirrored(self, name: str) -> bool:
        """Whether files of the year that a name begins with are kept beside the index."""
        year = name.partition("/")[0]
        if year not in self._mirrored:
            beside = None if is_remote(self.path) else Path(self._beside) / year
            self._mirrored[year] = beside is not None and beside.is_dir()
        return self._mirrored[year]

    def _as_written(self, path: str, row: str) -> str:
        """Address of a remote file, after a check that the index may send there."""
        own = f"{self._beside}/" if is_remote(self.path) else None
        for home in (own, *_PUBLIC):
            if home is not None and path.startswith(home):
                return self._below(home, path.removeprefix(home), path, row)
        raise UnsafeFileError(
            self.path,
            f"{row} names {path!r}, which is neither a public file of AlphaEarth nor one beside "
            "the index. root= names a mirror, prefixes={folder: folder} lets a place in",
        )

    def _below(self, base: str, name: str, path: str, row: str) -> str:
        """Path or address of a name below a folder, after a check that it stays there."""
        if not _NAME.fullmatch(name) or len(name) > 1024:
            raise UnsafeFileError(
                self.path, f"{row} names {path!r}, which is no plain name below the root"
            )
        if not name.lower().endswith(_RASTER_SUFFIXES):
            raise UnsafeFileError(self.path, f"{row} names {path!r}, which is no .tif or .tiff")
        if is_remote(base):
            return join_url(base, name)
        local = f"{base}/{name}"
        self._bases[local] = base, row
        return local


def _of_year(paths: list[Any], year: int, index: str) -> list[Any]:
    """Return the paths of the rows of one year, after a check that none names another."""
    for row, path in enumerate(paths):
        told = _YEAR_AND_ZONE.search(path) if isinstance(path, str) else None
        if told is not None and int(told[1]) != year:
            raise CorruptFileError(
                index, f"row {row} of {year} names {path!r}, a file of {told[1]}"
            )
    return paths
