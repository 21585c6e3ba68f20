"""The index of AlphaEarth files in its published forms: parquet, geopackage, csv, STAC."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, SourceError, UnsafeFileError
from geofeat.rasters._catalogue import Layer
from geofeat.rasters._footprints import Footprints
from geofeat.rasters._header import RasterHeader, read_header
from geofeat.rasters._raster_files import is_remote, local_path

_BOX = ("wgs84_west", "wgs84_south", "wgs84_east", "wgs84_north")
_GEOMETRY = ("geom", "geometry", "WKT")
_MAX_ROWS = 50_000_000
_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._+=-]{1,255}"
_NAME = re.compile(f"{_PART}(?:/{_PART})*")
_RASTER_SUFFIXES = (".tif", ".tiff")
# Folders of the published files.
_YEAR_AND_ZONE = re.compile(r"(?:^|/)(\d{4})/\d{1,2}[NS]/[^/]+$")
_ZONE = re.compile(r"0*([1-9]\d?)([NS])")
_SQLITE = b"SQLite format 3\0"


class _Rows(NamedTuple):
    """Rows of an index: paths as written, years, zones ("" where untold), boxes, polygons."""

    path: list[Any]
    year: np.ndarray
    zone: np.ndarray
    box: np.ndarray
    polygon: np.ndarray | None


class AlphaEarthIndex:
    """Files that an index names, read year by year.

    Parameters
    ----------
    path : str
        The index: .parquet (plain or STAC), .gpkg or .csv, told apart by their columns.
    root : str or None
        Folder of the local mirror; None for the index's own folder.
    prefixes : dict
        Folders that paths begin with and the local folders that stand in their place.
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
        if not Path(local_path(path)).is_file():
            raise FileNotFoundError(f"{path} does not exist")
        if root is not None and not Path(local_path(root)).is_dir():
            raise FileNotFoundError(f"root {root} is no folder")
        self.path = path
        self._root = Path(root) if root is not None else Path(path).parent
        self._absolute_allowed = root is None
        self._prefixes = {
            f"{prefix.rstrip('/')}/" if prefix else "": Path(local_path(folder))
            for prefix, folder in prefixes.items()
        }
        self._check = check
        self._layers: dict[int, Layer | None] = {}
        self._headers: dict[str, RasterHeader] = {}
        self._bases: dict[str, tuple[Path, str]] = {}
        self._years: tuple[int, ...] | None = None
        self._anywhere: Footprints | None = None

    @property
    def years(self) -> tuple[int, ...]:
        """Years the index lists."""
        if self._years is None:
            self._years = tuple(np.unique(self._read(None, "none").year).tolist())
        return self._years

    def header(self, path: str) -> RasterHeader:
        """Header of one file."""
        if path not in self._headers:
            base, row = self._bases[path]
            if not Path(path).resolve().is_relative_to(base.resolve()):
                raise UnsafeFileError(self.path, f"{row} names {path!r}, a link out of {base}")
            self._headers[path] = self._check(read_header(path))
        return self._headers[path]

    def layer(self, year: int) -> Layer | None:
        """Files of one year with their footprints; other years are not read where that can be."""
        if year not in self._layers:
            rows = self._read(year, "polygons")
            self._layers[year] = (
                Layer(
                    [
                        self._local(path, f"row {i} of {year}")
                        for i, path in enumerate(_of_year(rows.path, year, self.path))
                    ],
                    rows.zone,
                    Footprints(rows.box, rows.polygon),
                )
                if rows.path
                else None
            )
        return self._layers[year]

    def covered_at_all(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Whether the index lists a file for the points in any year."""
        if self._anywhere is None:
            rows = self._read(None, "boxes")
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

    def _local(self, path: Any, row: str) -> str:
        """Where a file of the index lies on this machine.

        A prefix the user gave is exchanged. Otherwise a relative path starts at the root, and of a
        remote one the last three parts, year/zone/name, do. Absolute paths count where no root was
        given.
        """
        if not isinstance(path, str) or not path:
            raise CorruptFileError(self.path, f"{row} has no path")
        base, name = self._root, path
        for prefix, folder in self._prefixes.items():
            if path.startswith(prefix):
                base, name = folder, path.removeprefix(prefix).lstrip("/")
                break
        else:
            if is_remote(path):
                name = "/".join(path.split("://")[-1].strip("/").split("/")[-3:])
            elif (
                Path(path).is_absolute() and self._absolute_allowed and ".." not in Path(path).parts
            ):
                base, name = Path(path).parent, Path(path).name
        if not _NAME.fullmatch(name) or len(name) > 1024:
            raise UnsafeFileError(
                self.path, f"{row} names {path!r}, which is no plain name below the root"
            )
        if not name.lower().endswith(_RASTER_SUFFIXES):
            raise UnsafeFileError(self.path, f"{row} names {path!r}, which is no .tif or .tiff")
        local = f"{base}/{name}"
        self._bases[local] = base, row
        return local

    def _read(self, year: int | None, footprints: str) -> _Rows:
        """Rows of one year or of all; with footprints "none" only the years are filled in.

        "boxes" leaves polygons out where the index has both.
        """
        try:
            return self._rows(year, footprints)
        except (SourceError, LimitError):
            raise
        except Exception as error:  # pyarrow, pyogrio and shapely each have errors of their own
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise CorruptFileError(self.path, f"cannot be read as an index: {error}") from error

    def _rows(self, year: int | None, footprints: str) -> _Rows:
        frame = _READERS[Path(self.path).suffix.lower()](self.path, year, footprints)
        years = _years_of(frame, self.path)
        if year is not None:
            kept = np.flatnonzero(years == year)
            frame = {name: [values[i] for i in kept] for name, values in frame.items()}
            years = years[kept]
        if footprints == "none":
            return _Rows([], years, np.empty(0), np.empty((0, 4)), None)
        polygon = _polygons_of(frame, self.path)
        zones = frame.get("utm_zone", [""] * years.size)
        named = {zone: _zone_name(zone) for zone in set(zones)}
        return _Rows(
            frame["path"] if "path" in frame else frame["href"],
            years,
            np.array([named[zone] for zone in zones], dtype=object),
            _boxes_of(frame, polygon, self.path),
            polygon,
        )


def _read_parquet(path: str, year: int | None, footprints: str) -> dict[str, Any]:
    """Columns of a parquet index, plain or STAC; row groups of other years are skipped."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    if file.metadata.num_rows > _MAX_ROWS:
        raise LimitError(f"{path} lists {file.metadata.num_rows} files, the bound is {_MAX_ROWS}")
    names = file.schema_arrow.names
    if "path" in names:
        wanted = ["year"]
        if footprints != "none":
            wanted += ["path", *_footprint_columns(names, footprints)]
        _require(names, wanted, path)
        filters = None if year is None else [("year", "==", year)]
        return _in_degrees(_plain(pq.read_table(path, columns=wanted, filters=filters)), file)
    wanted = ["datetime"]
    if footprints != "none":
        assets = "assets" if "assets" in names else "assets.data.href"
        wanted += [assets, "geometry", *[n for n in ("utm_zone",) if n in names]]
    _require(names, wanted, path)
    frame = _plain(pq.read_table(path, columns=wanted))
    if footprints != "none":
        frame["href"] = (
            [item["data"]["href"] for item in frame.pop("assets")]
            if "assets" in frame
            else frame.pop("assets.data.href")
        )
    return _in_degrees(frame, file)


def _in_degrees(frame: dict[str, Any], file: Any) -> dict[str, Any]:
    """Project footprints that a GeoParquet file says are in another CRS than lon, lat."""
    import shapely
    from pyproj import CRS, Transformer

    geo = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
    for name, column in geo.get("columns", {}).items():
        if name not in frame or column.get("crs") is None:
            continue
        crs = CRS.from_user_input(column["crs"])
        if crs.equals("EPSG:4326", ignore_axis_order=True) or crs == CRS("OGC:CRS84"):
            continue
        to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        frame[name] = list(
            shapely.transform(
                shapely.from_wkb(frame[name]), to_degrees.transform, interleaved=False
            )
        )
    return frame


def _footprint_columns(names: list[str], footprints: str) -> list[str]:
    """Columns of zone and footprint that an index has and that are asked for."""
    boxed = footprints == "boxes" and set(_BOX) <= set(names)
    wanted = ("utm_zone", *_BOX) if boxed else ("utm_zone", *_BOX, *_GEOMETRY)
    return [name for name in wanted if name in names]


def _plain(table: Any) -> dict[str, Any]:
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _read_csv(path: str, year: int | None, footprints: str) -> dict[str, Any]:
    import pyarrow.csv as pc

    with Path(path).open(encoding="utf-8") as text:
        names = [name.strip().strip('"') for name in text.readline().split(",")]
    wanted = ["year"]
    if footprints != "none":
        wanted += ["path", *_footprint_columns(names, footprints)]
    _require(names, wanted, path)
    from pyarrow import compute

    table = pc.read_csv(
        path,
        convert_options=pc.ConvertOptions(include_columns=wanted),
        parse_options=pc.ParseOptions(newlines_in_values=False),
    )
    if year is not None:
        table = table.filter(compute.equal(table.column("year"), year))
    return _plain(table)


def _read_geopackage(path: str, year: int | None, footprints: str) -> dict[str, Any]:
    import geopandas

    with Path(path).open("rb") as file:  # GDAL would try all its drivers, whatever the suffix
        if file.read(len(_SQLITE)) != _SQLITE:
            raise CorruptFileError(path, "is no geopackage")
    where = None if year is None else f"year = {int(year)}"
    frame = geopandas.read_file(path, where=where, ignore_geometry=footprints == "none")
    _require(list(frame.columns), ["year", "path"], path)
    columns = {name: frame[name].tolist() for name in frame.columns if name != "geometry"}
    if footprints != "none":
        footprint = frame.geometry if frame.crs is None else frame.geometry.to_crs("EPSG:4326")
        columns["geometry"] = list(footprint)
    return columns


_READERS = {".parquet": _read_parquet, ".csv": _read_csv, ".gpkg": _read_geopackage}
INDEX_SUFFIXES = tuple(_READERS)


def _require(names: list[str], wanted: list[str], path: str) -> None:
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise CorruptFileError(
            path, f"is no index of AlphaEarth files: it lacks {', '.join(lacking)}, has {names}"
        )


def _years_of(frame: dict[str, Any], path: str) -> np.ndarray:
    name = "year" if "year" in frame else "datetime"
    years = np.empty(len(frame[name]), dtype=np.int64)
    for row, value in enumerate(frame[name]):
        try:
            years[row] = int(value if name == "year" else str(value)[:4])
        except (TypeError, ValueError) as error:
            raise CorruptFileError(path, f"row {row} has no year but {value!r}") from error
    return years


def _of_year(paths: list[Any], year: int, index: str) -> list[Any]:
    """Return the paths of the rows of one year, after a check that none names another."""
    for row, path in enumerate(paths):
        told = _YEAR_AND_ZONE.search(path) if isinstance(path, str) else None
        if told is not None and int(told[1]) != year:
            raise CorruptFileError(
                index, f"row {row} of {year} names {path!r}, a file of {told[1]}"
            )
    return paths


def _zone_name(zone: Any) -> str:
    """Zone spelled as "1N", however the index does; "" where it tells none."""
    match = _ZONE.fullmatch(str(zone).strip().upper())
    return match.group(1) + match.group(2) if match else ""


def _polygons_of(frame: dict[str, Any], path: str) -> np.ndarray | None:
    import shapely

    for name in _GEOMETRY:
        values = frame.get(name)
        if not values or any(value is None for value in values):
            continue
        if not isinstance(values[0], bytes | str):
            return np.array(values, dtype=object)
        read = shapely.from_wkb if isinstance(values[0], bytes) else shapely.from_wkt
        polygons = np.asarray(read(values, on_invalid="ignore"), dtype=object)
        bad = np.flatnonzero(shapely.is_missing(polygons))
        if bad.size:
            raise CorruptFileError(path, f"row {bad[0]} has an unreadable footprint in {name}")
        return polygons
    return None


def _boxes_of(frame: dict[str, Any], polygon: np.ndarray | None, path: str) -> np.ndarray:
    """West, south, east, north of (n, 4) footprints; those over 180 degrees wide turned around.

    No file is that wide: the box of one across the antimeridian was taken of jumping longitudes.
    """
    import shapely

    if polygon is not None:
        return np.asarray(shapely.bounds(polygon))
    if not all(name in frame for name in _BOX):
        raise CorruptFileError(path, "has neither footprints nor the columns wgs84_west to north")
    boxes = np.empty((len(frame[_BOX[0]]), 4))
    for row, box in enumerate(zip(*(frame[name] for name in _BOX), strict=True)):
        try:
            boxes[row] = box
        except (TypeError, ValueError) as error:
            raise CorruptFileError(path, f"row {row} has the box {box}") from error
    bad = ~(np.abs(boxes) <= (360, 90, 360, 90)).all(axis=1) | (boxes[:, 1] > boxes[:, 3])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise CorruptFileError(path, f"row {row} has the box {boxes[row].tolist()}")
    width = boxes[:, 2] - boxes[:, 0]
    across = (width > 180) & (width < 360)
    boxes[across] = boxes[across][:, [2, 1, 0, 3]]
    return boxes
