"""Candidates -> rows of the output: each block read once, the next pixel where one is empty."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from geofeat._progress import progress_bar
from geofeat._threads import run_tasks
from geofeat.rasters._blocks import BlockWindow
from geofeat.rasters._candidates import OK, Candidates
from geofeat.rasters._sink import UNREAD, PixelSink
from geofeat.rasters._sources import PixelReader, Source


class Outcome(NamedTuple):
    """What became of n points.

    Attributes
    ----------
    reason : uint8 array of shape (n,)
        One of `geofeat.rasters._candidates.REASONS` by position.
    chosen : int64 array of shape (n,)
        The candidate whose pixel was taken, or the first one that was empty; -1 without any.
    beyond_limit : list of (str, int)
        Files with values beyond the source's limit, and in how many pixels.
    """

    reason: np.ndarray
    chosen: np.ndarray
    beyond_limit: list[tuple[str, int]]


def read_candidates(
    source: Source,
    found: Candidates,
    bands: np.ndarray,
    missing: str,
    out: np.ndarray,
    progress: bool | None,
    sink: PixelSink | None = None,
) -> Outcome:
    """Fill rows of ``out``, float32 of shape (n, bands), from the candidates of each point.

    In a block that must be read for one point, the pixels of all points are taken, also where
    another file comes first: what fails there is then served without reading again.

    A ``sink`` of one's own takes the pixels in place of a `PixelSink` on ``out``.
    """
    sink = sink or PixelSink(out, found.point.size, missing)
    starts = found.first_of_points()
    best = starts[:-1].copy()
    several = found.point.size > (starts[1:] > starts[:-1]).sum()
    with source.reader(found, bands) as reader:
        if source.overlap == "mean" and several:
            read_windows(
                reader, np.arange(found.point.size), best[found.point], found, sink, progress
            )
            best = first_valid(sink.status, found, starts)
            _average(sink, found, starts)
        else:
            while (needed := _needed(sink, best, starts[1:])).size:
                which = best[needed]
                if several:
                    waiting = np.zeros(best.size, dtype=bool)
                    waiting[needed] = True
                    shared = np.isin(reader.block, np.unique(reader.block[which]))
                    shared &= waiting[found.point] & (sink.status == UNREAD)
                    which = np.flatnonzero(shared)
                read_windows(reader, which, best[found.point], found, sink, progress)
                best = _next_valid(sink, found, best, starts[1:])
    return settle(found, best, sink.status, out, getattr(reader, "beyond_limit", []))


def settle(
    found: Candidates,
    best: np.ndarray,
    status: np.ndarray,
    out: np.ndarray,
    beyond_limit: list[tuple[str, int]],
) -> Outcome:
    """Say what became of each point, and clear the rows of those without a valid candidate.

    ``best`` is the candidate that serves each point, or the end of its candidates.
    """
    starts = found.first_of_points()
    served = best < starts[1:]
    if out.dtype.kind == "f":  # codes of a sink of one's own have no NaN
        out[~served] = np.nan
    chosen = np.where(served, best, np.where(starts[:-1] < starts[1:], starts[:-1], -1))
    reason = found.reason.copy()
    tried = ~served & (chosen >= 0)
    reason[tried] = status[chosen[tried]]
    return Outcome(reason, chosen, beyond_limit)


def _needed(sink: PixelSink, best: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Points whose best candidate has not been read."""
    points = np.flatnonzero(best < ends)
    unread: np.ndarray = points[sink.status[best[points]] == UNREAD]
    return unread


def read_windows(
    reader: PixelReader,
    which: np.ndarray,
    best_of_point: np.ndarray,
    found: Candidates,
    sink: PixelSink,
    progress: bool | None,
) -> None:
    """Read candidates on threads: the best of a point into its row, others into spare rows."""
    spare = which[which != best_of_point[which]]
    sink.target[which] = found.point[which]
    if spare.size:
        first = sink.spare.shape[0]
        sink.target[spare] = -1 - (first + np.arange(spare.size))
        more = np.empty((spare.size, sink.out.shape[1]), dtype=sink.out.dtype)
        sink.spare = np.concatenate([sink.spare, more])
    windows = reader.windows(which)
    n_blocks = sum(window.blocks for window in windows)
    bar = progress_bar(n_blocks, "reading rasters", "block", progress)
    lock = threading.Lock()

    def work(window: BlockWindow) -> None:
        reader.read(window, sink)
        with lock:
            bar.update(window.blocks)

    with bar:
        run_tasks(work, windows, at_once=getattr(reader, "in_flight", 1))


def _next_valid(
    sink: PixelSink, found: Candidates, best: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Move each point past the candidates that were read and empty; fetch spare rows."""
    best = best.copy()
    moved = np.zeros(best.size, dtype=bool)
    while True:
        points = np.flatnonzero(best < ends)
        status = sink.status[best[points]]
        failed = points[(status != OK) & (status != UNREAD)]
        if not failed.size:
            break
        best[failed] += 1
        moved[failed] = True
    fetched = np.flatnonzero(moved & (best < ends))
    fetched = fetched[sink.status[best[fetched]] == OK]
    sink.out[fetched] = sink.spare[-1 - sink.target[best[fetched]]]
    return best


def first_valid(status: np.ndarray, found: Candidates, starts: np.ndarray) -> np.ndarray:
    """First valid candidate of each point, the end of its candidates where there is none."""
    position = np.where(status == OK, np.arange(status.size), status.size)
    first = starts[1:].copy()
    np.minimum.at(first, found.point, position)
    return first


def _average(sink: PixelSink, found: Candidates, starts: np.ndarray) -> None:
    """Replace the row of each point that several candidates serve by their mean."""
    several = np.diff(starts) > 1
    which = np.flatnonzero(several[found.point] & (sink.status == OK))
    target = sink.target[which]
    values = np.empty((which.size, sink.out.shape[1]), dtype=np.float32)
    direct = target >= 0
    values[direct] = sink.out[target[direct]]
    values[~direct] = sink.spare[-1 - target[~direct]]
    points, means = mean_of_points(found.point[which], values)
    sink.out[points] = means


def mean_of_points(point: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different points and the means of their rows of values; ``point`` ascends, NaN is skipped."""
    points, first = np.unique(point, return_index=True)
    if not points.size:
        return points, np.empty((0, values.shape[1]), dtype=np.float32)
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0).astype(np.float64), first, axis=0)
    count = np.add.reduceat(known, first, axis=0, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        return points, (total / count).astype(np.float32)
