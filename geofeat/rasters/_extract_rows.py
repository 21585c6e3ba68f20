"""Groups of rows -> records of fixed width: sampled or encoded, narrowed, with their reasons."""

from __future__ import annotations

import copy
import os
from typing import Any, NamedTuple

import numpy as np

from geofeat._columns import frame_names
from geofeat.exceptions import LimitError
from geofeat.rasters._alphaearth import AlphaEarthSource
from geofeat.rasters._candidates import BAD_COORDINATE, OK, REASONS
from geofeat.rasters._places import PointPlaces
from geofeat.rasters._quantization import quantize
from geofeat.rasters._sampler import EmbeddingRasterSampler
from geofeat.rasters._sampling import band_positions
from geofeat.rasters._tessera import TesseraSource

# What becomes of rows of a transformer that reads no raster.
ROW_REASONS = ("ok", "bad_input")
STORED_FORMS = {
    "aef": {"formula": "sign(q) * (q / 127.5)**2", "nodata": "q = -128"},
    "tessera": {"formula": "q * scale", "nodata": "scale = 0"},
}


class RowJob(NamedTuple):
    """How rows become records; everything a worker needs.

    Attributes
    ----------
    transformer : EmbeddingRasterSampler or another transformer
        In a state of its own, without a progress bar.
    names : tuple of str
        Columns of one layer.
    suffixes : tuple of str
        One a layer: "" or "_2022", "_2023", ...
    dtype : {"float32", "float16", "int8"}
        Of the stored numbers.
    form : {"aef", "tessera"} or None
        What int8 numbers stand for.
    with_file : bool
        Whether to record the file of each row.
    digest : str
        Identity of the job.
    run : str
        Identity of the call, within which rasters must not change.
    """

    transformer: Any
    names: tuple[str, ...]
    suffixes: tuple[str, ...]
    dtype: str
    form: str | None
    with_file: bool
    digest: str
    run: str

    @property
    def reads_rasters(self) -> bool:
        """Whether the transformer is a sampler, whose rows are sorted by tile."""
        return isinstance(self.transformer, EmbeddingRasterSampler)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Names of the reason codes."""
        return REASONS if self.reads_rasters else ROW_REASONS

    @property
    def record(self) -> np.dtype[Any]:
        """Type of a record; an item is a row of one layer, counted from its bucket's first."""
        fields: list[tuple[Any, ...]] = [("item", "<u4"), ("reason", "u1")]
        if self.with_file:
            fields.append(("file", "<i4"))
        if self.form == "tessera":
            fields.append(("scale", "<f4"))
        fields.append(("values", np.dtype(self.dtype), (len(self.names),)))
        return np.dtype(fields)


class TileGroup(NamedTuple):
    """Rows of one layer that blocks of a few files serve: item numbers, degrees, years."""

    number: int
    items: np.ndarray
    lon: np.ndarray
    lat: np.ndarray
    year: np.ndarray


class RowChunk(NamedTuple):
    """Consecutive rows as the transformer takes them."""

    number: int
    first: int
    frame: Any


class GroupResult(NamedTuple):
    """Records of a group, and what is to be told.

    ``files`` are those that ``file`` counts, before the coordinator numbers them anew; ``process``
    is the number of the process that did the work.
    """

    number: int
    items: np.ndarray
    records: np.ndarray
    files: list[str]
    absent: list[str]
    beyond_limit: list[tuple[str, int]]
    process: int


# The job of the last group, so that a worker looks at the source's index once.
_kept: dict[str, RowJob] = {}


def compute_kept(job: RowJob, group: TileGroup | RowChunk) -> GroupResult:
    """Compute a group in a worker, with the job that the worker has seen before."""
    known = _kept.get(job.run)
    if known is None:
        _kept.clear()
        known = _kept.setdefault(job.run, job)
    try:
        return compute(known, group)
    except Exception as error:
        # GDAL's errors, which would go with it, cannot travel; ours repeat what they say.
        error.__cause__ = error.__context__ = None
        failure = error
    raise failure


def compute(job: RowJob, group: TileGroup | RowChunk) -> GroupResult:
    """Sample or encode the rows of a group."""
    if isinstance(group, TileGroup):
        return _sample(job, group)
    values = np.asarray(job.transformer.transform(as_fitted(job.transformer, group.frame)))
    width = len(job.names)
    if values.shape != (len(group.frame), width):
        raise ValueError(
            f"{type(job.transformer).__name__}.transform returned shape {values.shape} for "
            f"{len(group.frame)} rows and {width} names of columns"
        )
    records = _records(job, values)
    records["reason"] = np.isnan(values).all(axis=1)
    items = np.arange(group.first, group.first + len(values))
    return GroupResult(group.number, items, records, [], [], [], os.getpid())


def _sample(job: RowJob, group: TileGroup) -> GroupResult:
    sampler = job.transformer
    source = sampler._open()
    bands = band_positions(sampler.bands, source)
    values = np.empty((group.items.size, bands.size), dtype=np.float32)
    places = PointPlaces(group.lon, group.lat, sampler._asked())
    (layer,) = sampler._fill(source, places, [group.year], bands, values)
    records = _records(job, values)
    records["reason"] = layer.reason
    if job.with_file:
        records["file"] = layer.file
    beyond = [(str(path), int(count)) for path, count in layer.beyond_limit]
    return GroupResult(
        group.number, group.items, records, layer.files, layer.absent, beyond, os.getpid()
    )


def _records(job: RowJob, values: np.ndarray) -> np.ndarray:
    records = np.zeros(values.shape[0], dtype=job.record)
    if job.form == "aef":  # each number for itself: a missing band leaves the others
        records["values"] = quantize(values[:, :, None], "aef")[:, :, 0]
    elif job.form == "tessera":
        records["values"], records["scale"] = quantize(values, "tessera")
    else:
        records["values"] = _narrowed(values, np.dtype(job.dtype))
    return records


def _narrowed(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    lost = np.isinf(narrow) & np.isfinite(values)
    if lost.any():
        wider = "float32" if dtype == np.float16 else "int8 with a form, or scale the features"
        raise LimitError(
            f"{dtype} holds numbers up to {np.finfo(dtype).max:g}, features reach "
            f"{np.abs(values[lost]).max():g}: take dtype={wider}"
        )
    return narrow


def quiet_copy(transformer: Any) -> Any:
    """Return the transformer, or a shallow copy of a sampler that shows no bar of its own."""
    if not isinstance(transformer, EmbeddingRasterSampler):
        return transformer
    quiet = copy.copy(transformer)
    quiet.progress = False
    return quiet


def as_fitted(transformer: Any, frame: Any) -> Any:
    """Columns of a frame that a fitted transformer knows, all of them for an unfitted one."""
    names = getattr(transformer, "feature_names_in_", None)
    if names is not None:
        known = frame_names(frame) or []
        lacking = [name for name in names if name not in known]
        if lacking:
            raise ValueError(
                f"{type(transformer).__name__} was fitted with columns {list(names)}, the points "
                f"lack {lacking}"
            )
        return frame[list(names)]
    width = getattr(transformer, "n_features_in_", None)
    if width is None or hasattr(frame, "geometry"):
        return frame
    return frame.iloc[:, :width].to_numpy()


def stored_form(transformer: Any, dtype: str, form: str | None) -> str | None:
    """Form of int8 numbers: the one given, or the one a sampler's pixels are stored in."""
    if dtype != "int8":
        if form is not None:
            raise ValueError(f"form={form!r} goes with dtype='int8', got dtype={dtype!r}")
        return None
    if form is not None:
        if form not in STORED_FORMS:
            raise ValueError(f"form must be one of {tuple(STORED_FORMS)}, got {form!r}")
        return form
    found = native_form(transformer)
    if found is None:
        raise ValueError(
            "dtype='int8' stores the numbers of single pixels of AlphaEarth or TESSERA as they "
            f"are; what {type(transformer).__name__} returns here must be rounded to such numbers: "
            "say how with form='tessera' (any vectors) or form='aef' (components in [-1, 1])"
        )
    return found


def native_form(transformer: Any) -> str | None:
    """Form in which the numbers of a sampler that returns single pixels are stored, if known."""
    if not isinstance(transformer, EmbeddingRasterSampler):
        return None
    derived = (
        transformer.method != "nearest"
        or transformer.normalize is not None
        or getattr(transformer, "window", None) is not None
        or getattr(transformer, "radius", None) is not None
    )
    source = transformer._open()
    if derived or source.overlap == "mean":
        return None
    if isinstance(source, AlphaEarthSource):
        return "aef"
    if isinstance(source, TesseraSource):
        return "tessera"
    rule = getattr(source, "decode", None)
    return rule if rule in STORED_FORMS else None


def lacking_rows(job: RowJob, result: GroupResult) -> np.ndarray:
    """Items of a sampler's group for which the source holds no value."""
    if not job.reads_rasters:
        return np.empty(0, dtype=np.int64)
    reason = result.records["reason"]
    items: np.ndarray = result.items[(reason != OK) & (reason != BAD_COORDINATE)]
    return items
