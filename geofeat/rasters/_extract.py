"""Features of any number of points, from file to file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geofeat._progress import progress_bar
from geofeat.rasters._extract_chunks import ChunkPlan
from geofeat.rasters._extract_cluster import compute_on_cluster, dask_client
from geofeat.rasters._extract_output import (
    OutputColumns,
    chosen_columns,
    describe_output,
    output_schema,
    write_output,
)
from geofeat.rasters._extract_plan import TilePlan
from geofeat.rasters._extract_points import PointTable, open_points
from geofeat.rasters._extract_report import Extraction, refuse_missing, report, summarise
from geofeat.rasters._extract_rows import GroupResult, RowJob, compute, lacking_rows
from geofeat.rasters._extract_signature import describe
from geofeat.rasters._extract_store import WorkFolder, refuse_without_space
from geofeat.rasters._extract_task import ExtractionTask

_DTYPES = ("float32", "float16", "int8")
_LAYOUTS = ("columns", "list")
_PLAN_BYTES_PER_ITEM = 36


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
    task = ExtractionTask(table, sampler, dtype, form, file, getattr(points, "index", None))
    kept = OutputColumns(chosen_columns(table, columns), layout)
    notes = describe_output(task.job, sampler, layout)
    schema = output_schema(table, task.job, kept, notes)
    folder = out.with_name(out.name + ".partial")
    work = WorkFolder(folder, task.job.record, table.n_rows, len(task.job.suffixes))
    if out.exists() and resume:
        summary = _finished_before(out, task, kept)
        work.discard()  # what was killed between the last two steps leaves it
        return report(out, summary, task, began, summary["groups"])
    try:
        work.open(task.signature, resume=resume)
        refuse_without_space(folder, _bytes_needed(table, task.job, kept, work))
        plan = task.plan(folder / "plan", progress)
        resumed = len(work.finished.groups)
        _work_off(plan, task, work, client, progress)
        summary = summarise(task, work.finished, len(plan.sizes), list(plan.warnings))
        refuse_missing(task, summary["missing"])
        notes.update(summary=summary, points=describe(kept.points))
        schema = schema.with_metadata({**schema.metadata, b"geofeat": json.dumps(notes).encode()})
        write_output(out, schema, table, task.job, kept, work, progress)
        work.remove()
    except OSError as error:
        told = work.explained(error, _bytes_needed(table, task.job, kept, work))
        if told is error:
            raise
        raise told from error
    finally:
        work.close()
    return report(out, summary, task, began, resumed)


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
    task: ExtractionTask,
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
        if lacking.size:
            rows = np.unique(lacking // len(job.suffixes))
            listed = ", ".join(map(str, rows[:5]))
            refuse_missing(task, f"no value for rows {listed} and perhaps others")
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


def _finished_before(out: Path, task: ExtractionTask, columns: OutputColumns) -> dict[str, Any]:
    """Read the summary of an earlier call's result, after checking that it is this job's."""
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
    summary: dict[str, Any] = notes["summary"]
    return summary
