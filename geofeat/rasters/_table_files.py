"""Parquet files of embeddings: their columns, and where and when each row was seen."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, SourceError
from geofeat.rasters._candidates import NO_LAYER_YEAR
from geofeat.rasters._footprints import in_eastern_turn
from geofeat.rasters._header import file_stamp

SUFFIXES = (".parquet", ".geoparquet", ".pq")
_EMBEDDING = ("embedding", "embeddings", "vector")
_GEOMETRY = ("geometry", "geom", "geometry_wkt", "wkt")
_CENTRE = (
    ("centre_lon", "centre_lat"),
    ("center_lon", "center_lat"),
    ("lon", "lat"),
    ("longitude", "latitude"),
)
_DATE = ("date", "datetime", "timestamp", "time", "year")


class Columns(NamedTuple):
    """Names of the columns that count; ``centre`` are longitude and latitude, or None."""

    embedding: str
    geometry: str | None
    centre: tuple[str, str] | None
    date: str | None


class TableFile(NamedTuple):
    """One file: its columns, and the first row of each row group with the end behind the last.

    ``metadata`` is its footer, ``stamp`` size and time of last change when that was read.
    """

    path: str
    year: int
    columns: Columns
    starts: np.ndarray
    metadata: Any
    stamp: tuple[int, int]


class Rows(NamedTuple):
    """Every row that has a place, of all files.

    ``file`` and ``row`` say which, ``lon`` and ``lat`` its centre in degrees, ``year`` and
    ``stamp`` (nanoseconds) when; ``footprint`` has polygons in degrees, or is None.
    """

    file: np.ndarray
    row: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    year: np.ndarray
    stamp: np.ndarray
    footprint: np.ndarray | None


def table_paths(paths: Any) -> list[str]:
    """Files meant by a file, a folder, a pattern with * or ?, or a list of those."""
    if not isinstance(paths, str | os.PathLike):
        found = [file for path in paths for file in table_paths(path)]
        if not found:
            raise ValueError("a source needs at least one table, got an empty list")
        return found
    name = os.fspath(paths)
    if "://" in name:
        raise SourceError(name, "is not a local file; copy it here")
    if Path(name).is_dir():
        found = sorted(str(p) for p in Path(name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not found:
            raise SourceError(name, f"holds no file {', '.join(SUFFIXES)}")
        return found
    if Path(name).exists():
        return [name]
    found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - absolute patterns
    if not found:
        raise FileNotFoundError(f"{name} does not exist")
    return found


def open_parquet(path: str, file: TableFile | None = None) -> Any:
    """Open a file, with the footer that is known of it unless it has changed since."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file is not None and file_stamp(path) != file.stamp:
        raise SourceError(path, "has changed since the source looked at it; make the source anew")
    try:
        # Both keep pyarrow from loading a whole row group before it decodes the first row.
        return pq.ParquetFile(
            path, metadata=file and file.metadata, buffer_size=2**20, pre_buffer=False
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CorruptFileError(path, f"cannot be opened as Parquet: {error}") from error


def column_batches(
    file: TableFile, name: str, n_rows: int, group: int | None = None
) -> Iterator[Any]:
    """Parts of a column, of one row group or of all, of at most so many rows."""
    import pyarrow as pa

    groups = None if group is None else [group]
    where = "" if group is None else f" in row group {group}"
    with open_parquet(file.path, file) as opened:
        try:
            for batch in opened.iter_batches(n_rows, groups, [name], use_threads=False):
                yield batch.column(0)
        except (OSError, pa.ArrowException) as error:
            raise CorruptFileError(file.path, f"cannot read {name!r}{where}: {error}") from error


def looks_like_table(path: str) -> bool:
    """Whether a path is a Parquet file with a column of embeddings."""
    if Path(path).suffix.lower() not in SUFFIXES or not Path(path).is_file():
        return False
    with open_parquet(path) as file:
        return bool(_embedding_columns(file.schema_arrow))


def read_table_file(
    path: str, embedding: str | None, geometry: str | tuple[str, str] | None, date: str | None
) -> TableFile:
    """Read the footer of a file and find its columns, by the names given or the usual ones."""
    stamp = file_stamp(path)
    with open_parquet(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    names = list(schema.names)
    pair = None if geometry is None or isinstance(geometry, str) else tuple(geometry)
    single = geometry if isinstance(geometry, str) else None
    for asked in (embedding, single, date, *(pair or ())):
        if asked is not None and asked not in names:
            raise SourceError(path, f"has no column {asked!r}, its columns are {names}")
    vectors = _embedding_columns(schema)
    if embedding is None and len(vectors) != 1:
        usual = [name for name in _EMBEDDING if name in vectors]
        if not usual:
            raise SourceError(
                path,
                f"has {len(vectors)} columns of lists of numbers {vectors}: name the one that "
                "holds the embeddings, EmbeddingTableSource(..., embedding=...)",
            )
        vectors = usual
    if embedding is not None and embedding not in vectors:
        raise SourceError(
            path, f"holds {schema.field(embedding).type} in {embedding!r}, not lists of numbers"
        )
    columns = Columns(
        embedding or vectors[0],
        single or (None if pair else _first(_GEOMETRY, names)),
        pair if pair else (None if single else _first_pair(names)),  # type: ignore[arg-type]
        date or _first(_DATE, names),
    )
    if columns.geometry is None and columns.centre is None:
        raise SourceError(
            path,
            f"tells no places: none of its columns {names} is called {', '.join(_GEOMETRY)} or "
            "lon and lat; name them with geometry=",
        )
    counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    return TableFile(path, NO_LAYER_YEAR, columns, starts, metadata, stamp)


def _first(names: tuple[str, ...], present: list[str]) -> str | None:
    lowered = {name.lower(): name for name in present}
    return next((lowered[name] for name in names if name in lowered), None)


def _first_pair(present: list[str]) -> tuple[str, str] | None:
    lowered = {name.lower(): name for name in present}
    return next(
        ((lowered[x], lowered[y]) for x, y in _CENTRE if x in lowered and y in lowered), None
    )


def _embedding_columns(schema: Any) -> list[str]:
    """Names of the columns that hold lists of numbers."""
    import pyarrow as pa

    found = []
    for field in schema:
        kind = field.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        if is_list or pa.types.is_fixed_size_list(kind):
            element = kind.value_type
            if pa.types.is_floating(element) or pa.types.is_integer(element):
                found.append(field.name)
    return found


def read_rows(files: list[TableFile], footprints: bool) -> Rows:
    """Read places and times of every row, and nothing else of the files."""
    parts = [_rows_of_file(i, file, footprints) for i, file in enumerate(files)]
    file, row, lon, lat, year, stamp = (
        np.concatenate(arrays) for arrays in zip(*(part[:6] for part in parts), strict=True)
    )
    shapes = np.concatenate([part.footprint for part in parts]) if footprints else None
    return Rows(file, row, lon, lat, year, stamp, shapes)


def _rows_of_file(index: int, file: TableFile, footprints: bool) -> Rows:
    import shapely

    columns = file.columns
    n_rows = int(file.starts[-1])
    shapes = None
    if footprints or columns.centre is None:
        shapes = _geometries(file)
    if columns.centre is not None:
        lon, lat = (_numbers(file, name) for name in columns.centre)
    else:
        lon, lat = _centres(shapes)
    year, stamp = _times(file, n_rows)
    known = np.isfinite(lon) & np.isfinite(lat)
    if (np.abs(lat[known]) > 90).any() or (np.abs(lon[known]) > 360).any():
        raise SourceError(file.path, "has centres that are no longitude and latitude in degrees")
    if footprints:
        assert shapes is not None
        known &= np.isin(shapely.get_type_id(shapes), (3, 6)) & ~shapely.is_empty(shapes)
        if n_rows and not known.any():
            raise SourceError(
                file.path,
                "has no footprints, only points; give the distance up to which the nearest one "
                "counts, EmbeddingTableSource(..., max_distance=...)",
            )
    row = np.flatnonzero(known)
    lon = (lon[row] + 180.0) % 360.0 - 180.0
    shapes = shapes[row] if footprints and shapes is not None else None
    return Rows(np.full(row.size, index), row, lon, lat[row], year[row], stamp[row], shapes)


def _column(file: TableFile, name: str) -> Any:
    import pyarrow as pa

    with open_parquet(file.path, file) as opened:
        kind = opened.schema_arrow.field(name).type
    return pa.chunked_array(column_batches(file, name, 2**16), kind).combine_chunks()


def _numbers(file: TableFile, name: str) -> np.ndarray:
    """Numbers of a column as float64, NaN where one is missing."""
    import pyarrow as pa

    try:
        column = _column(file, name).cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise SourceError(file.path, f"has no numbers in {name!r}: {error}") from error
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _geometries(file: TableFile) -> np.ndarray:
    """Geometries in degrees: of GeoParquet in its CRS, else WKB or WKT in longitude, latitude."""
    import pyarrow as pa
    import shapely

    name = file.columns.geometry
    if name is None:
        raise SourceError(file.path, "has no column of footprints; name one with geometry=")
    told = json.loads((file.metadata.metadata or {}).get(b"geo", b"{}"))
    if name in told.get("columns", {}):
        import geopandas

        series = geopandas.read_parquet(file.path, columns=[name])[name]
        if series.crs is None:
            raise SourceError(file.path, f"tells no coordinate reference system of {name!r}")
        return np.asarray(series.to_crs(4326).values, dtype=object)
    column = _column(file, name)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    values = column.to_numpy(zero_copy_only=False)
    try:
        return np.asarray(shapely.from_wkt(values) if text else shapely.from_wkb(values))
    except (shapely.errors.GEOSException, TypeError) as error:
        raise SourceError(file.path, f"has no geometries in {name!r}: {error}") from error


def _centres(shapes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of centroids, NaN without a geometry."""
    import shapely

    west, _, east, _ = shapely.bounds(shapes).T
    jumps = np.flatnonzero(east - west > 180)  # written on both sides of the antimeridian
    if jumps.size:
        shapes = shapes.copy()
        shapes[jumps] = shapely.transform(shapes[jumps], in_eastern_turn)
    centres = shapely.centroid(shapes)
    return shapely.get_x(centres), shapely.get_y(centres)


def _times(file: TableFile, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Calendar year, and nanoseconds since 1970, of every row; the least number without a date."""
    import pandas as pd
    import pyarrow as pa

    least = np.iinfo(np.int64).min
    name = file.columns.date
    if name is None:
        return np.full(n_rows, NO_LAYER_YEAR), np.full(n_rows, least)
    column = _column(file, name)
    if pa.types.is_integer(column.type):
        numbers = np.asarray(column.fill_null(NO_LAYER_YEAR).to_numpy(), dtype=np.int64)
        wrong = (numbers != NO_LAYER_YEAR) & ((numbers < 1000) | (numbers > 9999))
        if wrong.any():
            raise SourceError(file.path, f"has {numbers[wrong][0]} in {name!r}, which is no year")
        return numbers, np.where(numbers == NO_LAYER_YEAR, least, numbers)
    try:
        stamps = pd.to_datetime(pd.Series(column.to_pandas()), utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise SourceError(file.path, f"has no dates in {name!r}: {error}") from error
    year = stamps.dt.year.fillna(NO_LAYER_YEAR).to_numpy(dtype=np.int64)
    stamp = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return year, stamp
