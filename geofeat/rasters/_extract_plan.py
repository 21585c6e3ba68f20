"""Rows of any number sorted by the tile that serves them, on disk.

Every row is an item of each layer (year) of columns. Items are located in slices, then written in
sorted runs; see `geofeat.rasters._extract_runs`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from geofeat._coordinates import check_layout, read_lonlat
from geofeat._progress import progress_bar
from geofeat._whole_file import sync_folder, write_whole
from geofeat.exceptions import CorruptFileError, SourceError
from geofeat.rasters._extract_points import PointTable
from geofeat.rasters._extract_rows import RowJob, TileGroup
from geofeat.rasters._extract_runs import ITEM, Cut, RunWriter, parts_of
from geofeat.rasters._extract_store import read_described
from geofeat.rasters._years import asked_years, listed_years, row_years

_SLICE_ROWS = 2**17
# What the values of a group take.
_GROUP_BYTES = 2**25
_GROUP_ITEMS = 2**18


class TilePlan:
    """Groups of items by tile, planned once and read from disk thereafter.

    Parameters
    ----------
    folder : Path
        Where the plan lies, within the work folder.
    """

    def __init__(self, folder: Path):
        described = read_described(folder / "plan.json")
        self._cuts = [Cut(*cut) for cut in described["cuts"]]
        self._stamps: dict[str, list[int]] = described["stamps"]
        self.warnings: list[str] = described["warnings"]
        n_runs = described["runs"]
        self._runs = [folder / f"items-{i}" for i in range(n_runs)]
        spans = np.fromfile(folder / "spans", dtype=np.int64)
        if spans.size != 2 * n_runs * len(self._cuts):
            raise CorruptFileError(folder / "spans", "is damaged; resume=False starts over")
        self._spans = spans.reshape(-1, n_runs, 2)

    @property
    def sizes(self) -> list[int]:
        """Items of each group."""
        return [cut.items for cut in self._cuts]

    def chains(self) -> Iterator[list[int]]:
        """Numbers of groups that read the same file, for one worker each."""
        start = 0
        for i in range(1, len(self._cuts) + 1):
            if i == len(self._cuts) or self._cuts[i].chain != self._cuts[start].chain:
                yield list(range(start, i))
                start = i

    def load(self, number: int) -> TileGroup:
        """Read the items of a group."""
        cut = self._cuts[number]
        spans = self._spans[number].tolist()
        bounds = parts_of(sum(stop - first for first, stop in spans), cut.parts)
        begin, end = bounds[cut.part : cut.part + 2]
        parts, position = [], 0
        for path, (first, stop) in zip(self._runs, spans, strict=True):
            a, b = max(begin - position, 0) + first, min(end - position, stop - first) + first
            position += stop - first
            if a < b:
                start = a * ITEM.itemsize
                parts.append(np.fromfile(path, dtype=ITEM, count=b - a, offset=start))
        items = np.concatenate(parts)
        lon, lat, year = (np.ascontiguousarray(items[name]) for name in ("lon", "lat", "year"))
        return TileGroup(number, items["item"].copy(), lon, lat, year.astype(np.int64))

    def refuse_changed_files(self) -> None:
        """Raise SourceError when a file is not as it was when the work began."""
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise SourceError(
                    path, "has changed since the extraction began; resume=False starts over"
                )


def plan_tiles(
    folder: Path, points: PointTable, job: RowJob, year: Any, progress: bool | None
) -> TilePlan:
    """Sort all items by tile, unless the folder holds the finished plan."""
    if (folder / "plan.json").exists():
        return TilePlan(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    writer = RunWriter(folder, len(job.suffixes))
    warnings: list[tuple[str, int, int]] = []
    with progress_bar(points.n_rows, "locating points", "point", progress) as bar:
        for first, lon, lat, years in _coordinates(points, job.transformer, year, warnings):
            writer.locate(first, lon, lat, years, job.transformer)
            bar.update(lon.size)
    width = len(job.names) * 4
    group_items = max(1, min(_GROUP_ITEMS, _GROUP_BYTES // width))
    described = {
        "cuts": writer.finish(group_items),
        "runs": writer.n_runs,
        "stamps": {path: stamp for path in writer.files if (stamp := _stamp(path))},
        "warnings": _told_once(warnings),
    }
    sync_folder(folder)
    write_whole(folder / "plan.json", json.dumps(described).encode())
    return TilePlan(folder)


def year_column(year: Any) -> str | None:
    """Name of the column that tells each row's year, None where another rule holds."""
    return year if isinstance(year, str) else None


def years_of_rows(year: Any, points: PointTable, index: Any) -> Any:
    """Years of a sampler, those given row by row as an array of integers.

    ``index`` is that of the points as they were given, which a Series must have too.
    """
    if year is None or isinstance(year, str) or listed_years(year) is not None:
        return year
    own = getattr(year, "index", None)
    if own is not None and index is not None and not own.equals(index):
        raise ValueError(
            "year is a Series whose index is not that of the points: put the years in a column "
            "and pass its name"
        )
    years = row_years(year, "year")
    if years.size != points.n_rows:
        raise ValueError(f"year holds {years.size} values, there are {points.n_rows} points")
    return years


def _coordinates(
    points: PointTable, sampler: Any, year: Any, warnings: list[tuple[str, int, int]]
) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[np.ndarray]]]:
    """First row, longitudes, latitudes and years (once a layer) of consecutive slices."""
    owner = type(sampler).__name__
    available = sampler._open().years
    name = year_column(year)
    first = 0
    for frame in points.frames(_SLICE_ROWS, 0, [] if name is None else [name]):
        stop = first + len(frame)
        told: list[tuple[str, type[Warning]]] = []
        lon, lat, _ = read_lonlat(
            check_layout(frame, owner), owner, lambda *warning, to=told: to.append(warning)
        )
        warnings.extend((message, first, stop) for message, _ in told)
        asked = year[first:stop] if isinstance(year, np.ndarray) else year
        years = asked_years(asked, frame, lon.size, available, sampler.lag)
        yield first, lon.astype(np.float64), lat.astype(np.float64), years
        first = stop


def _stamp(path: str) -> list[int] | None:
    """Size and time of change of a local file; None for everything else."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _told_once(warnings: list[tuple[str, int, int]]) -> list[str]:
    if not warnings:
        return []
    message, first, stop = warnings[0]
    text = f"Of rows {first} to {stop - 1}: {message}"
    if len(warnings) > 1:
        text += f" The like is true of {len(warnings) - 1} further parts of the points."
    return [text]
