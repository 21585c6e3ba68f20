"""What an extraction has to do, found out before it begins."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from geofeat.rasters._extract_chunks import ChunkPlan
from geofeat.rasters._extract_plan import TilePlan, plan_tiles, years_of_rows
from geofeat.rasters._extract_points import PointTable
from geofeat.rasters._extract_rows import RowJob, quiet_copy, stored_form
from geofeat.rasters._extract_signature import digest_of, job_signature
from geofeat.rasters._sampler import EmbeddingRasterSampler


class ExtractionTask:
    """What is to be done: the job for workers, its signature, and the rule for years.

    Parameters
    ----------
    points : PointTable
        The points.
    transformer : EmbeddingRasterSampler or transformer
        As given by the user.
    dtype, form, with_file : str, str or None, bool
        As in `extract`.
    index : object
        Labels of the points as they were given, None without.
    """

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
        samples = isinstance(transformer, EmbeddingRasterSampler)
        if samples:
            transformer._validate_params()
            suffixes = tuple(transformer._suffixes())
            self.year = years_of_rows(transformer.year, points, index)
            needed = [*points.places.columns, *_year_columns(transformer.year, points)]
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
            with_file and samples,
            digest_of(self.signature),
            uuid.uuid4().hex,
        )

    def plan(self, folder: Path, progress: bool | None) -> TilePlan | ChunkPlan:
        """Cut the rows into groups, by tile where rasters are read."""
        if not self.job.reads_rasters:
            return ChunkPlan(self.points, len(self.job.names))
        return plan_tiles(folder, self.points, self.job, self.year, progress)


def _year_columns(year: Any, points: PointTable) -> list[str]:
    if not isinstance(year, str):
        return []
    if year not in points.names:
        raise ValueError(f"year={year!r} names no column of the points, they are {points.names}")
    return [year]
