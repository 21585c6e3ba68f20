"""The index of AlphaEarth files in its published forms: parquet, geopackage, csv, STAC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, SourceError, UnsafeFileError
from geofeat.rasters._catalogue import Layer
from geofeat.rasters._footprints import Footprints
from geofeat.rasters._header import RasterHeader, read_header
from geofeat.rasters._raster_files import is_remote

_BOX = ("wgs84_west", "wgs84_south", "wgs84_east", "wgs84_north")
_GEOMETRY = ("geom", "geometry", "WKT")
_MAX_ROWS = 50_000_000


class _Rows(NamedTuple):
    """Rows of an index: paths as written, years, zones ("" where untold), boxes, polygons."""

    path: list[str]
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
        Beginnings of paths and what stands in their place.
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
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist")
        self.path = path
        self._root = Path(root) if root is not None else Path(path).parent
        self._prefixes = prefixes
        self._check = check
        self._layers: dict[int, Layer | None] = {}
        self._headers: dict[str, RasterHeader] = {}
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
            self._headers[path] = self._check(read_header(path))
        return self._headers[path]

    def layer(self, year: int) -> Layer | None:
        """Files of one year with their footprints; other years are not read where that can be."""
        if year not in self._layers:
            rows = self._read(year, "polygons")
            self._layers[year] = (
                Layer(
                    [self.local(path) for path in rows.path],
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
        covered[self._anywhere.covering(lon, lat)[0]] = True
        return covered

    def local(self, path: str) -> str:
        """Where a file of the index lies on this machine.

        A prefix the user gave is exchanged. Otherwise an absolute local path stays, a relative one
        starts at the root, and of a remote one the last three parts, year/zone/name, do.
        """
        for prefix, replacement in self._prefixes.items():
            if path.startswith(prefix):
                return replacement + path.removeprefix(prefix)
        if is_remote(path):
            parts = path.split("/")[-3:]
        elif Path(path).is_absolute():
            return path
        else:
            parts = list(Path(path).parts)
        if ".." in parts:
            raise UnsafeFileError(
                self.path, f"names {path!r}, which leaves the folder of the files"
            )
        return str(self._root.joinpath(*parts))

    def _read(self, year: int | None, footprints: str) -> _Rows:
        """Rows of one year or of all; with footprints "none" only the years are filled in.

        "boxes" leaves polygons out where the index has both.
        """
        try:
            frame = _READERS[Path(self.path).suffix.lower()](self.path, year, footprints)
        except (SourceError, LimitError, OSError):
            raise
        except Exception as error:  # pyarrow, pyogrio and shapely each have errors of their own
            raise CorruptFileError(self.path, f"cannot be read as an index: {error}") from error
        if "href" in frame and "path" not in frame:
            frame = {**frame, "path": frame["href"]}
        years = _years_of(frame, self.path)
        keep = np.ones(years.size, dtype=bool) if year is None else years == year
        if footprints == "none":
            return _Rows([], years[keep], np.empty(0), np.empty((0, 4)), None)
        polygon = _polygons_of(frame)
        box = _boxes_of(frame, polygon, self.path)
        zone = np.array(frame.get("utm_zone", [""] * years.size), dtype=object)
        return _Rows(
            [str(p) for p, kept in zip(frame["path"], keep, strict=True) if kept],
            years[keep],
            zone[keep],
            box[keep],
            None if polygon is None else polygon[keep],
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
        return _plain(pq.read_table(path, columns=wanted, filters=filters))
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

    where = None if year is None else f"year = {int(year)}"
    frame = geopandas.read_file(path, where=where, ignore_geometry=footprints == "none")
    _require(list(frame.columns), ["year", "path"], path)
    columns = {name: frame[name].tolist() for name in frame.columns if name != "geometry"}
    if footprints != "none":
        columns["geometry"] = list(frame.geometry)
    return columns


_READERS = {".parquet": _read_parquet, ".csv": _read_csv, ".gpkg": _read_geopackage}


def _require(names: list[str], wanted: list[str], path: str) -> None:
    lacking = [name for name in wanted if name not in names]
    if lacking:
        raise CorruptFileError(
            path, f"is no index of AlphaEarth files: it lacks {', '.join(lacking)}, has {names}"
        )


def _years_of(frame: dict[str, Any], path: str) -> np.ndarray:
    if "year" in frame:
        years = frame["year"]
    else:
        years = [None if date is None else int(str(date)[:4]) for date in frame["datetime"]]
    if any(year is None for year in years):
        raise CorruptFileError(path, f"row {list(years).index(None)} has no year")
    return np.array(years, dtype=np.int64)


def _polygons_of(frame: dict[str, Any]) -> np.ndarray | None:
    import shapely

    for name in _GEOMETRY:
        values = frame.get(name)
        if not values or any(value is None for value in values):
            continue
        if isinstance(values[0], bytes):
            return np.asarray(shapely.from_wkb(values), dtype=object)
        if isinstance(values[0], str):
            return np.asarray(shapely.from_wkt(values), dtype=object)
        return np.array(values, dtype=object)
    return None


def _boxes_of(frame: dict[str, Any], polygon: np.ndarray | None, path: str) -> np.ndarray:
    import shapely

    if all(name in frame for name in _BOX):
        return np.array([frame[name] for name in _BOX], dtype=np.float64).T
    if polygon is None:
        raise CorruptFileError(path, "has neither footprints nor the columns wgs84_west to north")
    return np.asarray(shapely.bounds(polygon))
