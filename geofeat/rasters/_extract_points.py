"""Points in a file or in memory, read slice by slice as frames and as Arrow tables."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import joblib
import numpy as np

from geofeat._coordinates import is_geometry
from geofeat.exceptions import CorruptFileError

if TYPE_CHECKING:
    import pyarrow as pa

# Parquet pages are read through buffers of this size, also from one huge row group.
_READ_BUFFER_BYTES = 2**20
_LON_NAMES = ("lon", "long", "lng", "longitude")
_LAT_NAMES = ("lat", "latitude")


class Places(NamedTuple):
    """Which columns hold the coordinates.

    Either ``geometry``, or ``x`` and ``y`` in ``crs``; ``made`` says that the geometry written is
    made of these. ``crs`` is a pyproj CRS or what it is made of.
    """

    geometry: str | None
    x: str | None
    y: str | None
    crs: Any
    made: bool

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the points that hold the coordinates."""
        names = (self.geometry,) if self.x is None else (self.x, self.y)
        return [name for name in names if name is not None]


class PointTable(Protocol):
    """Rows of points with further columns."""

    n_rows: int
    names: list[str]
    places: Places
    schema: pa.Schema

    def frames(self, rows: int, first: int, extra: Sequence[str]) -> Iterator[Any]:
        """Frames of ``rows`` rows from row ``first`` on: the place, then the columns ``extra``."""
        ...

    def tables(self, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Arrow tables of ``rows`` rows with these columns, geometries as WKB."""
        ...

    def identity(self, columns: Sequence[str]) -> dict[str, Any]:
        """Describe what tells these points, in these columns, from others."""
        ...

    def geometry_systems(self) -> dict[str, Any]:
        """CRS of each geometry that `tables` writes; of a GeoParquet file its metadata tell."""
        ...


def open_points(points: Any, crs: Any) -> PointTable:
    """Find out what kind of points these are; no row of a file is read.

    Parameters
    ----------
    points : path-like, GeoDataFrame, GeoSeries, data frame, pyarrow.Table or array
        A path means a parquet file.
    crs : object or None
        Of plain coordinate columns.
    """
    if isinstance(points, str | os.PathLike):
        return _FilePoints(Path(points), crs)
    return _MemoryPoints(points, crs)


class _FilePoints:
    """Points of a parquet file, with or without the metadata of GeoParquet."""

    def __init__(self, path: Path, crs: Any):
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: give one parquet file")
        self.path = path
        with self._open() as file:
            self.schema = file.schema_arrow
            self.n_rows = int(file.metadata.num_rows)
        self.names = [str(name) for name in self.schema.names]
        geo = (self.schema.metadata or {}).get(b"geo")
        if geo is None:
            self.places = _plain_places(self.names, crs, str(path))
            return
        try:
            described = json.loads(geo)
            name = described["primary_column"]
            column = described["columns"][name]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptFileError(path, f"has unreadable GeoParquet metadata: {error}") from error
        if crs is not None:
            raise ValueError(f"{path} tells the CRS of its geometry: leave crs=None")
        self._encoding = str(column.get("encoding", "WKB"))
        # Without an entry GeoParquet means OGC:CRS84; an explicit null is unknown.
        self.places = Places(name, None, None, column.get("crs", "OGC:CRS84"), False)

    def frames(self, rows: int, first: int, extra: Sequence[str]) -> Iterator[Any]:
        import geopandas

        places = self.places
        columns = list(dict.fromkeys([*places.columns, *extra]))
        for table in self._slices(rows, first, columns):
            if places.x is not None:
                frame = table.select(columns).replace_schema_metadata(None).to_pandas()
                yield _placed(frame, places)
                continue
            rest = table.select(extra).replace_schema_metadata(None).to_pandas()
            shapes = self._shapes(table.column(places.geometry))
            yield geopandas.GeoDataFrame(rest, geometry=shapes, crs=places.crs)

    def tables(self, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        places = self.places
        own = [name for name in columns if name in self.names]
        needed = list(own)
        if places.made and places.geometry in columns:
            needed = list(dict.fromkeys([*own, *places.columns]))
        for table in self._slices(rows, 0, needed):
            yield _with_made_geometry(table, columns, places)

    def identity(self, columns: Sequence[str]) -> dict[str, Any]:
        status = self.path.stat()
        return {
            "path": str(self.path.resolve()),
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "rows": self.n_rows,
            "schema": _digest([self.schema.to_string().encode()]),
            "crs": str(self.places.crs),
        }

    def geometry_systems(self) -> dict[str, Any]:
        return {str(self.places.geometry): self.places.crs} if self.places.made else {}

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False)
        except pa.ArrowException as error:
            raise CorruptFileError(self.path, f"is no readable parquet file: {error}") from error

    def _slices(self, rows: int, first: int, columns: Sequence[Any]) -> Iterator[pa.Table]:
        """Tables of exactly ``rows`` rows, the last one shorter."""
        import pyarrow as pa

        wanted = list(columns)
        with self._open() as file:
            groups, skip = _groups_from(file.metadata, first)
            schema = pa.schema([self.schema.field(name) for name in wanted])
            held, n_held = [], 0
            try:
                for batch in file.iter_batches(rows, row_groups=groups, columns=wanted):
                    if skip >= batch.num_rows:
                        skip -= batch.num_rows
                        continue
                    held.append(batch.slice(skip).select(wanted))
                    n_held += batch.num_rows - skip
                    skip = 0
                    while n_held >= rows:
                        table = pa.Table.from_batches(held)
                        yield table.slice(0, rows)
                        n_held -= rows
                        held = table.slice(rows).to_batches()
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # not Arrow's own
                    raise
                raise CorruptFileError(self.path, f"cannot be read: {error}") from error
            if n_held:
                yield pa.Table.from_batches(held, schema=held[0].schema if held else schema)

    def _shapes(self, column: Any) -> np.ndarray:
        """Geometries of a column stored as WKB or as pairs of x and y."""
        import pyarrow as pa
        import shapely

        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if self._encoding == "point":
            x, y = (
                np.asarray(column.field(axis).to_numpy(zero_copy_only=False)) for axis in (0, 1)
            )
            shapes = shapely.points(x, y)
            shapes[~np.asarray(column.is_valid())] = None
            return shapes
        if self._encoding != "WKB":
            raise ValueError(
                f"{self.path}: geometries encoded as {self._encoding!r}; points are encoded as "
                "'WKB' or 'point'"
            )
        try:
            return shapely.from_wkb(column.to_numpy(zero_copy_only=False))
        except shapely.GEOSException as error:
            raise CorruptFileError(self.path, f"holds broken geometries: {error}") from error


class _MemoryPoints:
    """Points of a frame or an array."""

    def __init__(self, points: Any, crs: Any):
        import pandas as pd
        import pyarrow as pa

        if is_geometry(points):
            if crs is not None:
                raise ValueError("geometries tell their CRS: leave crs=None")
            frame = points if hasattr(points, "columns") else points.to_frame("geometry")
            name = str(frame.geometry.name)
            self.places = Places(name, None, None, frame.crs, False)
        else:
            frame = points.to_pandas() if hasattr(points, "to_pandas") else points
            if not isinstance(frame, pd.DataFrame):
                frame = _frame_of_array(frame)
            names = [str(name) for name in frame.columns]
            self.places = _plain_places(names, crs, None)
        self._frame = frame
        self.n_rows = len(frame)
        self.names = [str(name) for name in frame.columns]
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"points have duplicated column names: {self.names}")
        plain = frame
        if is_geometry(frame):
            plain = pd.DataFrame(frame.head(0).to_wkb())
            rest = [name for name in frame.columns if str(name) not in self._geometries()]
            plain[rest] = frame[rest].head(0)
            inferred = pa.Schema.from_pandas(pd.DataFrame(frame[rest]))
        else:
            inferred = pa.Schema.from_pandas(plain)
        fields = [
            pa.field(name, pa.binary()) if name in self._geometries() else inferred.field(name)
            for name in self.names
        ]
        index = [field for field in inferred if field.name not in self.names]
        self.schema = pa.schema([*fields, *index], metadata=inferred.metadata)

    def frames(self, rows: int, first: int, extra: Sequence[str]) -> Iterator[Any]:
        places = self.places
        wanted = self._labels(list(dict.fromkeys([*places.columns, *extra])))
        for start in range(first, self.n_rows, rows):
            part = self._frame.iloc[start : start + rows][wanted]
            yield part if places.x is None else _placed(part, places)

    def tables(self, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        import pandas as pd
        import pyarrow as pa

        own = [name for name in columns if name in self.names]
        needed = list(own)
        if self.places.made and self.places.geometry in columns:
            needed = list(dict.fromkeys([*own, *self.places.columns]))
        index = [f.name for f in self.schema if f.name not in self.names and f.name in columns]
        schema = pa.schema([self.schema.field(name) for name in [*needed, *index]])
        labels = self._labels(needed)
        for start in range(0, self.n_rows, rows):
            part = self._frame.iloc[start : start + rows][labels]
            for name, label in zip(needed, labels, strict=True):
                if name in self._geometries():
                    wkb = part[label].to_wkb() if hasattr(part[label], "to_wkb") else part[label]
                    part = pd.DataFrame(part).assign(**{name: wkb})
            table = pa.Table.from_pandas(part, schema=schema, preserve_index=bool(index))
            yield _with_made_geometry(table, columns, self.places)

    def identity(self, columns: Sequence[str]) -> dict[str, Any]:
        import pandas as pd

        parts = [json.dumps([self.names, [str(kind) for kind in self._frame.dtypes]]).encode()]
        for name, label in zip(columns, self._labels(columns), strict=True):
            values = self._frame[label]
            if name in self._geometries():
                parts.extend(shape or b"-" for shape in values.to_wkb())
            else:
                try:
                    hashes = pd.util.hash_pandas_object(values, index=False)
                    parts.append(hashes.to_numpy().tobytes())
                except TypeError:  # lists and the like
                    parts.append(joblib.hash(values.tolist()).encode())
        return {"rows": self.n_rows, "digest": _digest(parts), "crs": str(self.places.crs)}

    def geometry_systems(self) -> dict[str, Any]:
        if self.places.made:
            return {str(self.places.geometry): self.places.crs}
        labels = dict(zip(self.names, self._frame.columns, strict=True))
        return {name: self._frame[labels[name]].crs for name in sorted(self._geometries())}

    def _geometries(self) -> set[str]:
        if not is_geometry(self._frame):
            return set()
        kinds = self._frame.dtypes
        return {str(name) for name, kind in kinds.items() if str(kind) == "geometry"}

    def _labels(self, names: Sequence[Any]) -> list[Any]:
        """Labels of the frame, which may be no text, for names."""
        labels = dict(zip(self.names, self._frame.columns, strict=True))
        return [labels[name] for name in names]


def _frame_of_array(values: Any) -> Any:
    import pandas as pd

    values = np.ma.filled(values.astype(float), np.nan) if np.ma.isMA(values) else values
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"points need longitude and latitude columns, got shape {values.shape}")
    names = ["lon", "lat", *(f"column_{i}" for i in range(2, values.shape[1]))]
    return pd.DataFrame(values, columns=names)


def _plain_places(names: list[str], crs: Any, path: str | None) -> Places:
    """Coordinate columns by their names; in memory the first two columns where no names tell."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    lon = next((lowered[name] for name in _LON_NAMES if name in lowered), None)
    lat = next((lowered[name] for name in _LAT_NAMES if name in lowered), None)
    projected = crs is not None and not _is_geographic(crs)
    x, y = lon, lat
    if lon is None or lat is None or (projected and {"x", "y"} <= set(lowered)):
        x, y = lowered.get("x"), lowered.get("y")
        if path is not None and x is not None and y is not None and crs is None:
            raise ValueError(
                f"{path} has columns {x!r} and {y!r} and tells no CRS: pass crs=, 'EPSG:4326' for "
                "longitude and latitude"
            )
    if (x is None or y is None) and path is None and len(names) >= 2:
        x, y = names[:2]
    if x is None or y is None:
        raise ValueError(
            f"{path or 'points'} has neither a GeoParquet geometry nor columns lon and lat, or x "
            f"and y: its columns are {names}"
        )
    made = "geometry" not in names
    system = "EPSG:4326" if crs is None else crs
    return Places("geometry" if made else None, x, y, system, made)


def _is_geographic(crs: Any) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


def _placed(frame: Any, places: Places) -> Any:
    """Return a plain frame in degrees as it is, others as geometries."""
    from pyproj import CRS

    crs = CRS.from_user_input(places.crs)
    if crs.to_epsg() == 4326:
        return frame
    import geopandas

    x, y = (frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in frame.columns[:2])
    shapes = geopandas.GeoSeries.from_xy(x, y, index=frame.index, crs=crs)
    rest = frame.iloc[:, 2:]
    return geopandas.GeoDataFrame(rest, geometry=shapes)


def _with_made_geometry(table: pa.Table, columns: Sequence[str], places: Places) -> pa.Table:
    """Columns in the order asked for, with points made of x and y where they are among them."""
    import pyarrow as pa
    import shapely

    if places.made and places.geometry in columns:
        x, y = (
            table.column(name).to_pandas().to_numpy(dtype=np.float64, na_value=np.nan)
            for name in places.columns
        )
        wkb = np.asarray(shapely.to_wkb(shapely.points(x, y)), dtype=object)
        wkb[np.isnan(x) | np.isnan(y)] = None
        column = pa.array(wkb, type=pa.binary())
        table = table.append_column(pa.field(str(places.geometry), pa.binary()), column)
    return table.select(list(columns))


def _groups_from(metadata: Any, first: int) -> tuple[list[int], int]:
    """Row groups from the one that holds row ``first`` on, and how many of its rows to skip."""
    start = 0
    for group in range(metadata.num_row_groups):
        n_rows = metadata.row_group(group).num_rows
        if start + n_rows > first:
            return list(range(group, metadata.num_row_groups)), first - start
        start += n_rows
    return [], 0


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
