"""Features of any number of points, from file to file."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from geofeat._progress import progress_bar
from geofeat._warnings import warn_caller
from geofeat.exceptions import CoordinateWarning, CoverageWarning, SourceError
from geofeat.rasters._candidates import BAD_COORDINATE, OK
from geofeat.rasters._extract_chunks import ChunkPlan
from geofeat.rasters._extract_cluster import compute_on_cluster, dask_client
from geofeat.rasters._extract_output import (
    OutputColumns,
    chosen_columns,
    describe_output,
    output_schema,
    write_output,
)
from geofeat.rasters._extract_plan import TilePlan, plan_tiles, years_of_rows
from geofeat.rasters._extract_points import PointTable, open_points
from geofeat.rasters._extract_rows import (
    GroupResult,
    RowJob,
    compute,
    lacking_rows,
    quiet_copy,
    stored_form,
)
from geofeat.rasters._extract_signature import describe, digest_of, job_signature
from geofeat.rasters._extract_store import Finished, WorkFolder, refuse_without_space
from geofeat.rasters._sampler import EmbeddingRasterSampler

_DTYPES = ("float32", "float16", "int8")
_LAYOUTS = ("columns", "list")
_PLAN_BYTES_PER_ITEM = 36
_NAMED_FILES = 3


class Extraction(NamedTuple):
    """What `extract` did.

    Attributes
    ----------
    path : Path
        The finished file.
    rows : int
        Points, and rows of the file.
    counts : dict of str to int
        How many values there are of each reason, over all years.
    seconds : float
        Time that this call took.
    groups : int
        Groups of rows that the work was cut into.
    resumed_groups : int
        Those of them that an earlier call had finished.
    """

    path: Path
    rows: int
    counts: dict[str, int]
    seconds: float
    groups: int
    resumed_groups: int


def extract(
    points: Any,
    sampler: Any,
    out: str | os.PathLike[str],
    *,
    crs: Any = None,
    columns: Sequence[str] | None = None,
    dtype: Literal["float32", "float16", "int8"] = "float32",
    form: Literal["aef", "tessera"] | None = None,
    layout: Literal["columns", "list"] = "columns",
    file: bool = False,
    resume: bool = True,
    client: Any = None,
    progress: bool | None = None,
) -> Extraction:
    """Write the features of any number of points to a GeoParquet file; see Notes.

    The memory taken does not grow with the number of points. A run that was killed, interrupted or
    ran out of disk continues where it was when it is called again.

    Parameters
    ----------
    points : path-like, GeoDataFrame, GeoSeries, data frame or array
        A path means a GeoParquet file of points in any CRS, or a parquet file with columns lon and
        lat, or x and y together with ``crs``. Frames and arrays without such names have the
        coordinates in their first two columns.
    sampler : EmbeddingRasterSampler or transformer
        A sampler, configured in any way; or any other transformer whose row i depends on row i
        only, such as the encoders and embedders, fitted where it needs to be.
    out : path-like
        The file to write. Work in progress lies beside it in the folder ``<out>.partial``.
    crs : str, int or pyproj.CRS, default=None
        Of plain coordinate columns; None means longitude and latitude.
    columns : list of str, default=None
        Columns of the points to keep in the file, the geometry among them. None keeps all; plain
        coordinates get a geometry beside them. An empty list keeps none.
    dtype : {"float32", "float16", "int8"}, default="float32"
        How features are stored. "float16" keeps about 3 digits. "int8" keeps the bytes in which
        AlphaEarth and TESSERA are published; the file says how they are decoded.
    form : {"aef", "tessera"}, default=None
        With "int8", the form that features are rounded to, as by `quantize`. None: the form that
        the sampler's pixels are stored in, where it returns single pixels as they are.
    layout : {"columns", "list"}, default="columns"
        A column for each feature, named by ``get_feature_names_out``, or one column ``embedding``
        (``embedding_2022``, ... of several years) of lists of fixed size.
    file : bool, default=False
        Whether to write the file that served each row, or should have, in a column ``file``.
    resume : bool, default=True
        Whether to continue work found beside ``out``, and to leave a finished ``out`` of the same
        job alone. False starts over and replaces ``out``.
    client : distributed.Client or "dask", default=None
        Compute on the workers of this cluster, or of the current client's; needs
        ``pip install 'geofeat[dask]'``.
    progress : bool, default=None
        Whether to show progress with rate and time left. None: on a terminal, after 2 s.

    Returns
    -------
    report : Extraction
        Path, number of rows, counts by reason, seconds, groups and those found finished.

    Raises
    ------
    SourceError
        ``<out>.partial`` holds another job's work, or another process works there; a file changed
        since the work began; with the sampler's ``on_missing="raise"``, rows without a value.
    FileExistsError
        ``out`` exists and is not the result of this job.
    OSError
        The disk has less room than the work needs (``errno.ENOSPC``).
    LimitError
        Features are too large for ``dtype``.
    ValueError
        Points without coordinates that are known as such, or "int8" where no form is known.

    Warns
    -----
    CoverageWarning
        Once, at the end, with counts over all rows, also of earlier calls.
    CoordinateWarning
        Latitudes out of range, or points outside the domain of their CRS.

    See Also
    --------
    EmbeddingRasterSampler.coverage : What there is to read, before it is read.
    dequantize : Stored bytes back to numbers.

    Notes
    -----
    All points are first located and sorted by file and block, on disk where they are many. Groups
    of blocks are then read in turn, so that a block is decoded once in all, however the points are
    ordered (a window or an interpolation that reaches into a neighbouring block reads that again,
    as does a pixel that is empty in the first file and served by another). Finished records go to
    the work folder, and a journal is written after they have reached the disk; at the end the rows
    are put in the order of the points. The work folder and the file together need about twice the
    size of the features, plus 36 bytes a point.

    Missing features are NaN in floats; the column ``reason`` (``reason_2022``, ... of several
    years) says why: the words are those of `EmbeddingRasterSampler.sample`. Of other transformers
    a row is "ok" or, where all its features are NaN, "bad_input".

    AlphaEarth's int8 pixels are stored exactly. Those of TESSERA are stored as the bytes and
    scales of `quantize`, which stand for the same numbers to half a step, in a column ``scale``.

    On a cluster each file is read by one worker (another one takes over if it is lost). Results
    travel to the calling process, which alone writes; workers must see the rasters under the same
    paths, but neither the points nor ``out``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import geopandas as gpd
    >>> from geofeat import CartesianEncoder, extract
    >>> points = gpd.GeoDataFrame(
    ...     {"plot": [7, 8]}, geometry=gpd.points_from_xy([0.0, 90.0], [0.0, 0.0]), crs=4326
    ... )
    >>> out = Path(tempfile.mkdtemp()) / "features.parquet"
    >>> report = extract(points, CartesianEncoder(), out)
    >>> report.rows, report.counts
    (2, {'ok': 2, 'bad_input': 0})
    >>> gpd.read_parquet(out)
       plot      geometry    x    y    z reason
    0     7   POINT (0 0)  1.0  0.0  0.0     ok
    1     8  POINT (90 0)  0.0  1.0  0.0     ok
    """
    began = time.monotonic()
    _check_words(dtype, layout)
    out = Path(out)
    client = None if client is None else dask_client(client)
    table = open_points(points, crs)
    if table.n_rows == 0:
        raise ValueError("Found points with 0 sample(s) while 1 is required.")
    if isinstance(points, str | os.PathLike) and out.exists() and out.samefile(points):
        raise ValueError(f"out is the file of the points, {out}; write another one")
    task = _Task(table, sampler, dtype, form, file, getattr(points, "index", None))
    kept = OutputColumns(chosen_columns(table, columns), layout)
    notes = describe_output(task.job, sampler, layout)
    schema = output_schema(table, task.job, kept, notes)
    folder = out.with_name(out.name + ".partial")
    if out.exists() and resume:
        return _finished_before(out, folder, task, kept, began)
    work = WorkFolder(folder, task.job.record, table.n_rows, len(task.job.suffixes))
    try:
        work.open(task.signature, resume=resume)
        refuse_without_space(folder, _bytes_needed(table, task.job, kept, work))
        plan = task.plan(folder / "plan", progress)
        resumed = len(work.finished.groups)
        _work_off(plan, task, work, client, progress)
        notes["summary"] = _summary(plan, task, work.finished, table.n_rows)
        notes["points"] = describe(kept.points)
        schema = schema.with_metadata({**schema.metadata, b"geofeat": json.dumps(notes).encode()})
        write_output(out, schema, table, task.job, kept, work, progress)
        work.remove()
    finally:
        work.close()
    return _report(out, notes["summary"], task, began, resumed)


class _Task:
    """What is to be done: the job for workers, its signature, and the rule for years."""

    def __init__(
        self,
        points: PointTable,
        transformer: Any,
        dtype: str,
        form: str | None,
        with_file: bool,
        index: Any,
    ):
        if not hasattr(transformer, "transform") or not hasattr(
            transformer, "get_feature_names_out"
        ):
            raise TypeError(
                "sampler must be an EmbeddingRasterSampler or another transformer with transform "
                f"and get_feature_names_out, got {type(transformer).__name__}"
            )
        self.points = points
        self.on_missing = getattr(transformer, "on_missing", "nan")
        suffixes: tuple[str, ...] = ("",)
        self.year = None
        needed = list(points.names)
        if isinstance(transformer, EmbeddingRasterSampler):
            transformer._validate_params()
            suffixes = tuple(transformer._suffixes())
            self.year = years_of_rows(transformer.year, points, index)
            places = points.places
            extra = transformer.year if isinstance(transformer.year, str) else None
            needed = [name for name in (places.geometry, places.x, places.y, extra) if name]
            needed = [name for name in needed if name != places.geometry or not places.made]
            if extra is not None and extra not in points.names:
                raise ValueError(
                    f"year={extra!r} names no column of the points, they are {points.names}"
                )
            if dtype == "int8" and not isinstance(self.on_missing, str):
                raise ValueError(
                    "dtype='int8' marks missing values itself: on_missing must be text"
                )
        names = [str(name) for name in transformer.get_feature_names_out()]
        width = len(names) // len(suffixes)
        stem = [name.removesuffix(suffixes[0]) for name in names[:width]]
        form = stored_form(transformer, dtype, form)
        identity = points.identity(needed)
        signature = job_signature(identity, transformer, tuple(names), dtype, form)
        signature["file"] = with_file
        self.signature: dict[str, Any] = json.loads(json.dumps(signature))
        self.job = RowJob(
            quiet_copy(transformer),
            tuple(stem),
            suffixes,
            dtype,
            form,
            with_file and isinstance(transformer, EmbeddingRasterSampler),
            digest_of(self.signature),
        )

    def plan(self, folder: Path, progress: bool | None) -> TilePlan | ChunkPlan:
        """Cut the rows into groups, by tile where rasters are read."""
        if not self.job.reads_rasters:
            return ChunkPlan(self.points, len(self.job.names))
        return plan_tiles(folder, self.points, self.job, self.year, progress)


def _check_words(dtype: str, layout: str) -> None:
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be one of {_DTYPES}, got {dtype!r}")
    if layout not in _LAYOUTS:
        raise ValueError(f"layout must be one of {_LAYOUTS}, got {layout!r}")


def _bytes_needed(points: PointTable, job: RowJob, columns: OutputColumns, work: WorkFolder) -> int:
    """Bytes of records yet to come, of the plan, and of the file that is written at the end."""
    n_items = points.n_rows * len(job.suffixes)
    records = n_items * job.record.itemsize
    plan = n_items * _PLAN_BYTES_PER_ITEM if job.reads_rasters else 0
    if (work.folder / "plan" / "plan.json").exists():
        plan = 0
    path = getattr(points, "path", None)
    kept = path.stat().st_size if path is not None and columns.points else 0
    return records - work.stored_bytes() + plan + records + kept


def _work_off(
    plan: TilePlan | ChunkPlan,
    task: _Task,
    work: WorkFolder,
    client: Any,
    progress: bool | None,
) -> None:
    """Compute every group that is not finished; what was computed is kept, whatever happens."""
    finished = frozenset(work.finished.groups)
    plan.refuse_changed_files()
    sizes = plan.sizes
    done = sum(sizes[number] for number in finished)
    job = task.job
    bar = progress_bar(sum(sizes), "extracting", "point", progress, initial=done)

    def take(result: GroupResult) -> None:
        lacking = lacking_rows(job, result)
        if lacking.size and task.on_missing == "raise":
            rows = np.unique(lacking // len(job.suffixes))
            raise SourceError(
                describe(task.job.transformer.source),
                f"no value for {rows.size} of the rows looked at, {rows[:5].tolist()} among them; "
                "on_missing='nan' leaves them missing",
            )
        work.stage(result, lacking, len(job.reasons))
        bar.update(result.items.size)

    chains = ([n for n in chain if n not in finished] for chain in plan.chains())
    todo = (chain for chain in chains if chain)
    with bar:
        try:
            if client is not None:
                compute_on_cluster(client, job, todo, plan.load, take)
            else:
                for chain in todo:
                    for number in chain:
                        take(compute(job, plan.load(number)))
        except BaseException:
            with suppress(OSError):  # what went wrong first is what is told
                work.checkpoint()
            raise
        work.checkpoint()


def _summary(
    plan: TilePlan | ChunkPlan, task: _Task, finished: Finished, n_rows: int
) -> dict[str, Any]:
    """Count reasons, and tell what is to be warned of, as the file's metadata keep them."""
    counts = np.array(finished.counts).sum(axis=0).tolist()
    return {
        "rows": n_rows,
        "counts": dict(zip(task.job.reasons, counts, strict=True)),
        "counts by layer": dict(zip(task.job.suffixes, finished.counts, strict=True)),
        "groups": len(plan.sizes),
        "coordinates": list(plan.warnings),
        "missing": _describe_missing(task, finished, n_rows),
    }


def _describe_missing(task: _Task, finished: Finished, n_rows: int) -> str | None:
    """Say what has no value and why, in the words of the sampler's warning."""
    if not task.job.reads_rasters:
        return None
    counts = np.array(finished.counts).sum(axis=0)
    why = [
        f"{counts[code]} {name}"
        for code, name in enumerate(task.job.reasons)
        if code not in (OK, BAD_COORDINATE) and counts[code]
    ]
    parts = []
    if why:
        total = sum(int(text.split()[0]) for text in why)
        layers = len(task.job.suffixes)
        of = f"{n_rows} rows" if layers == 1 else f"{n_rows} rows times {layers} years"
        rows = ", ".join(str(row) for row in finished.first_rows)
        parts.append(f"no value for {total} of {of} (first rows: {rows}): {', '.join(why)}")
    if finished.absent:
        names = _listed(finished.absent)
        parts.append(f"{len(finished.absent)} file(s) that should be there are not: {names}")
    if finished.beyond_limit:
        tiles = _listed(list(dict.fromkeys(path for path, _ in finished.beyond_limit)))
        pixels = sum(count for _, count in finished.beyond_limit)
        parts.append(f"{pixels} pixel(s) beyond max_abs in {tiles}")
    alarming = finished.absent or finished.beyond_limit
    if not parts or (task.on_missing != "warn" and not alarming):
        return None
    becomes = "missing" if isinstance(task.on_missing, str) else f"{task.on_missing:g}"
    return (
        f"extract: {'; '.join(parts)}. Rows without a value are {becomes}; the column reason "
        "tells why."
    )


def _listed(paths: list[str]) -> str:
    return ", ".join(paths[:_NAMED_FILES]) + (", ..." if len(paths) > _NAMED_FILES else "")


def _report(
    out: Path, summary: dict[str, Any], task: _Task, began: float, resumed: int
) -> Extraction:
    """Warn of what is missing, once, and build the report."""
    for message in summary["coordinates"]:
        warn_caller(message, CoordinateWarning)
    if summary["missing"] is not None:
        warn_caller(summary["missing"], CoverageWarning)
    seconds = time.monotonic() - began
    return Extraction(out, summary["rows"], summary["counts"], seconds, summary["groups"], resumed)


def _finished_before(
    out: Path, folder: Path, task: _Task, columns: OutputColumns, began: float
) -> Extraction:
    """Report on an earlier call's result, after checking that it is this job's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        notes = json.loads((pq.read_schema(out).metadata or {}).get(b"geofeat", b"{}"))
    except (pa.ArrowException, ValueError):
        notes = {}
    same = notes.get("job") == task.job.digest and notes.get("layout") == columns.layout
    if not same or notes.get("points") != describe(columns.points) or "summary" not in notes:
        raise FileExistsError(
            f"{out} exists and is not the result of this job; resume=False replaces it"
        )
    if folder.exists():  # killed between the last two steps
        shutil.rmtree(folder)
    summary = notes["summary"]
    return _report(out, summary, task, began, summary["groups"])
