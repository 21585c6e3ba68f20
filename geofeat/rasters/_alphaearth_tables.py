"""Rows of an AlphaEarth index in its published forms: parquet, geopackage, csv, STAC."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, GeofeatError, SourceError
from geofeat.rasters._index_table import ROW_GROUP, IndexTable
from geofeat.rasters._remote import is_remote

_BOX = ("wgs84_west", "wgs84_south", "wgs84_east", "wgs84_north")
_GEOMETRY = ("geom", "geometry", "WKT")
_ZONE = re.compile(r"0*([1-9]\d?)([NS])")
_SQLITE = b"SQLite format 3\0"


class IndexRows(NamedTuple):
    """Rows of an index: paths as written, years, zones ("" where untold), boxes, polygons."""

    path: list[Any]
    year: np.ndarray
    zone: np.ndarray
    box: np.ndarray
    polygon: np.ndarray | None


def index_suffix(path: str) -> str:
    """Suffix by which a path is an index; "" for all others."""
    suffix = PurePosixPath(path).suffix.lower()
    return suffix if suffix in INDEX_SUFFIXES else ""


def read_rows(path: str, year: int | None, footprints: str) -> IndexRows:
    """Rows of one year or of all.

    Parameters
    ----------
    path : str
        The index; by network only parquet, of which it need not be read whole.
    year : int or None
        None for all years.
    footprints : {"polygons", "boxes", "none"}
        "none" fills only the years in; "boxes" leaves paths, zones and polygons out where the
        index has boxes.
    """
    suffix = index_suffix(path)
    if is_remote(path) and suffix != ".parquet":
        raise SourceError(path, "is not parquet, the one form of an index that is read by network")
    try:
        frame = _READERS[suffix](path, year, footprints)
        years = _years_of(frame, path)
        if year is not None:
            kept = np.flatnonzero(years == year)
            frame = {name: [values[i] for i in kept] for name, values in frame.items()}
            years = years[kept]
        if footprints == "none" or not years.size:
            return IndexRows([], years, np.empty(0), np.empty((0, 4)), None)
        polygon = _polygons_of(frame, path)
        zones = frame.get("utm_zone", [""] * years.size)
        named = {zone: _zone_name(zone) for zone in set(zones)}
        return IndexRows(
            frame.get("path", []),
            years,
            np.array([named[zone] for zone in zones], dtype=object),
            _boxes_of(frame, polygon, path),
            polygon,
        )
    except GeofeatError:
        raise
    except Exception as error:  # pyarrow, pyogrio and shapely each have errors of their own
        if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) is not None:
            raise
        raise CorruptFileError(path, f"cannot be read as an index: {error}") from error


def _read_parquet(path: str, year: int | None, footprints: str) -> dict[str, Any]:
    """Columns of a parquet index, plain or STAC; row groups of other years are skipped."""
    table = IndexTable(path)
    names = table.schema.names
    if "path" not in names:
        return _read_stac(table, footprints)
    _require(names, ["year", "path"], path)
    if footprints == "none":
        return _plain(table.read(["year"], year))
    boxes, polygons = ([name for name in kind if name in names] for kind in (_BOX, _GEOMETRY))
    if footprints == "boxes" and len(boxes) == len(_BOX):
        return _plain(table.read(["year", *boxes], year))
    zone = [name for name in ("utm_zone",) if name in names]
    frame = _plain(table.read(["year", "path", *zone, *(polygons or boxes)], year))
    if not any(_is_complete(frame[name]) for name in polygons):  # boxes stand in for polygons
        frame |= _plain(table.read(boxes, year))
    return _in_degrees(frame, table.schema)


def _read_stac(table: IndexTable, footprints: str) -> dict[str, Any]:
    """Columns of a STAC geoparquet, of all years."""
    names = table.schema.names
    if footprints == "none" and "datetime" in names:
        return _plain(table.read(["datetime"]))
    assets = "assets" if "assets" in names else "assets.data.href"
    wanted = ["datetime", assets, "geometry", *[n for n in ("utm_zone",) if n in names]]
    _require(names, wanted, table.path)
    frame = _plain(table.read(wanted))
    hrefs = frame.pop(assets)
    frame["path"] = [item["data"]["href"] for item in hrefs] if assets == "assets" else hrefs
    return _in_degrees(frame, table.schema)


def _in_degrees(frame: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Project footprints that a GeoParquet file says are in another CRS than lon, lat."""
    import shapely
    from pyproj import CRS, Transformer

    geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
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
    wanted = _BOX if boxed else ("utm_zone", *_BOX, *_GEOMETRY)
    return [name for name in wanted if name in names]


def _plain(table: Any) -> dict[str, Any]:
    names = [name for name in table.column_names if name != ROW_GROUP]
    return {name: table.column(name).to_pylist() for name in names}


def _is_complete(values: list[Any]) -> bool:
    return not any(value is None for value in values)


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


def _zone_name(zone: Any) -> str:
    """Zone spelled as "1N", however the index does; "" where it tells none."""
    match = _ZONE.fullmatch(str(zone).strip().upper())
    return match.group(1) + match.group(2) if match else ""


def _polygons_of(frame: dict[str, Any], path: str) -> np.ndarray | None:
    import shapely

    for name in _GEOMETRY:
        values = frame.get(name)
        if not values or not _is_complete(values):
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
