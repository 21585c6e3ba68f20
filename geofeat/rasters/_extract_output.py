"""The finished file of an extraction: the points' columns, the features, and what they mean."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import geofeat
from geofeat._progress import progress_bar
from geofeat._whole_file import sync_folder
from geofeat.rasters._extract_points import PointTable
from geofeat.rasters._extract_rows import STORED_FORMS, RowJob, native_form
from geofeat.rasters._extract_store import WorkFolder, sync_file

if TYPE_CHECKING:
    import pyarrow as pa

_TRANSPOSED_ROWS = 1024


class OutputColumns(NamedTuple):
    """What the file holds: columns of the points, features by column or as lists."""

    points: list[str]
    layout: str


def chosen_columns(points: PointTable, columns: Sequence[str] | None) -> list[str]:
    """Columns of the points to be kept, the geometry made of coordinates behind them."""
    made = [points.places.geometry] if points.places.made else []
    index = [name for name in points.schema.names if name not in points.names]
    have = [*points.names, *(str(name) for name in made)]
    if columns is None:
        return [*have, *index]
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got the text {columns!r}")
    unknown = [name for name in columns if name not in have]
    if unknown:
        raise ValueError(f"the points have no column {unknown[0]!r}, their columns are {have}")
    return list(dict.fromkeys(columns))


def output_schema(
    points: PointTable, job: RowJob, columns: OutputColumns, notes: dict[str, Any]
) -> pa.Schema:
    """Fields and metadata of the file.

    Raises
    ------
    ValueError
        A column of the points has the name of a column to be written.
    """
    import pyarrow as pa

    made = points.places.geometry if points.places.made else None
    fields = [
        pa.field(name, pa.binary()) if name == made else points.schema.field(name)
        for name in columns.points
    ]
    added = list(_added_fields(job, columns.layout))
    names = [field.name for field in added]
    twice = sorted(({*columns.points} & {*names}) or {n for n in names if names.count(n) > 1})
    if twice:
        raise ValueError(
            f"the output would have two columns called {twice[0]!r}: leave that of the points out "
            "with columns="
        )
    metadata = {b"geofeat": json.dumps(notes).encode()}
    given = points.schema.metadata or {}
    if b"pandas" in given and set(columns.points) >= {*points.schema.names}:
        metadata[b"pandas"] = given[b"pandas"]
    geo = _geo_metadata(points, columns.points)
    if geo is not None:
        metadata[b"geo"] = json.dumps(geo).encode()
    return pa.schema([*fields, *added], metadata=metadata)


def describe_output(job: RowJob, transformer: Any, layout: str) -> dict[str, Any]:
    """Collect what the file's metadata tell of the features, for people and programs."""
    notes: dict[str, Any] = {
        "version": geofeat.__version__,
        "job": job.digest,
        "transformer": repr(transformer),
        "features": [f"{name}{suffix}" for suffix in job.suffixes for name in job.names],
        "layout": layout,
        "dtype": job.dtype,
        "missing": "NaN" if job.form is None else STORED_FORMS[job.form]["nodata"],
        "reasons": list(job.reasons),
    }
    if job.form is not None:
        notes["stored"] = {"form": job.form, **STORED_FORMS[job.form]}
    source = getattr(transformer, "source", None)
    attribution = getattr(source, "attribution", None)
    if attribution is not None:
        notes["attribution"] = attribution
    return notes


def write_output(
    out: Path,
    schema: pa.Schema,
    points: PointTable,
    job: RowJob,
    columns: OutputColumns,
    work: WorkFolder,
    progress: bool | None,
) -> None:
    """Write all rows in order, under the final name once they are on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex}.tmp")
    tables: Iterator[pa.Table | None]
    tables = points.tables(work.bucket_rows, columns.points) if columns.points else _nothing()
    bar = progress_bar(points.n_rows, "writing", "point", progress)
    try:
        with bar, temporary.open("wb") as file:
            with pq.ParquetWriter(
                file, schema, compression="zstd", use_dictionary=_few_valued(schema, job)
            ) as writer:
                for records, n_rows in work.buckets():
                    table = next(tables)
                    given = [] if table is None else table.columns
                    added = _added_columns(records, n_rows, job, columns.layout, work)
                    whole = pa.Table.from_arrays([*given, *added], schema=schema)
                    writer.write_table(whole, row_group_size=n_rows)
                    bar.update(n_rows)
            sync_file(file)
        temporary.replace(out)
        sync_folder(out.parent)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _few_valued(schema: pa.Schema, job: RowJob) -> list[str]:
    """Columns that a dictionary makes smaller; of others it takes seven times as long."""
    import pyarrow as pa

    # AlphaEarth's pixels have 255 values, decoded or not. Bytes are 32 bit integers in the file.
    decoded = job.form is None and native_form(job.transformer) == "aef"
    suffix = {True: ".list.item", False: ""}
    return [
        f"{field.name}{suffix[pa.types.is_fixed_size_list(field.type)]}"
        for field in schema
        if not pa.types.is_binary(field.type)
        and field.type != pa.float64()
        and (decoded or not pa.types.is_floating(field.type))
    ]


def _nothing() -> Iterator[None]:
    while True:
        yield None


def _added_fields(job: RowJob, layout: str) -> Iterator[pa.Field]:
    """Fields of the features, then what goes with each layer."""
    import pyarrow as pa

    number = pa.from_numpy_dtype(np.dtype(job.dtype))
    about = None if job.form is None else STORED_FORMS[job.form]
    for suffix in job.suffixes:
        if layout == "list":
            names = {"features": json.dumps(list(job.names))}
            kind = pa.list_(pa.field("item", number, nullable=False), len(job.names))
            yield pa.field(f"embedding{suffix}", kind, metadata={**names, **(about or {})})
        else:
            for name in job.names:
                yield pa.field(f"{name}{suffix}", number, metadata=about)
    for suffix in job.suffixes:
        if job.form == "tessera":
            yield pa.field(f"scale{suffix}", pa.float32())
        reasons = {"reasons": ", ".join(job.reasons)}
        code = pa.dictionary(pa.int8(), pa.string())
        yield pa.field(f"reason{suffix}", code, metadata=reasons)
        if job.with_file:
            yield pa.field(f"file{suffix}", pa.dictionary(pa.int32(), pa.string()))


def _added_columns(
    records: np.ndarray, n_rows: int, job: RowJob, layout: str, work: WorkFolder
) -> Iterator[Any]:
    """Arrow arrays in the order of `_added_fields`."""
    import pyarrow as pa

    layers = records.reshape(n_rows, len(job.suffixes))
    for layer in layers.T:
        values = layer["values"]
        if layout == "list":
            flat = pa.array(np.ascontiguousarray(values).reshape(-1))
            field = pa.field("item", flat.type, nullable=False)
            kind = pa.list_(field, len(job.names))
            yield pa.FixedSizeListArray.from_arrays(flat, type=kind)
        else:
            yield from map(pa.array, _transposed(values))
    for layer in layers.T:
        if job.form == "tessera":
            yield pa.array(np.ascontiguousarray(layer["scale"]))
        code = pa.array(layer["reason"].astype(np.int8))
        yield pa.DictionaryArray.from_arrays(code, pa.array(job.reasons))
        if job.with_file:
            yield _file_column(layer["file"], work.finished.files)


def _transposed(values: np.ndarray) -> np.ndarray:
    """Columns of rows that lie apart, block by block, so that each row is fetched once."""
    columns = np.empty(values.shape[::-1], dtype=values.dtype)
    for first in range(0, values.shape[0], _TRANSPOSED_ROWS):
        rows = slice(first, first + _TRANSPOSED_ROWS)
        columns[:, rows] = values[rows].T
    return columns


def _file_column(codes: np.ndarray, files: list[str]) -> Any:
    import pyarrow as pa

    used, position = np.unique(codes, return_inverse=True)
    names = pa.array([files[code] for code in used if code >= 0], type=pa.string())
    position = position - int((used < 0).sum())
    indices = pa.array(position.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, names)


def _geo_metadata(points: PointTable, columns: Sequence[str]) -> dict[str, Any] | None:
    """GeoParquet metadata of the geometries among the columns; None without any."""
    from pyproj import CRS

    given = (points.schema.metadata or {}).get(b"geo")
    if given is not None:
        geo: dict[str, Any] = json.loads(given)
        geo["columns"] = {name: geo["columns"][name] for name in geo["columns"] if name in columns}
        if not geo["columns"]:
            return None
        if geo["primary_column"] not in geo["columns"]:
            geo["primary_column"] = next(iter(geo["columns"]))
        return geo
    known = {**points.geometry_systems()}
    found = {name: crs for name, crs in known.items() if name in columns}
    if not found:
        return None
    primary = points.places.geometry
    return {
        "version": "1.0.0",
        "primary_column": primary if primary in found else next(iter(found)),
        "columns": {
            name: {
                "encoding": "WKB",
                "geometry_types": [],
                "crs": None if crs is None else CRS.from_user_input(crs).to_json_dict(),
            }
            for name, crs in found.items()
        },
    }
