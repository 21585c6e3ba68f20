"""Pixels that may serve points, and the reasons why a point has none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

REASONS = ("ok", "nodata", "water", "no_coverage", "no_year", "outside", "bad_coordinate")
OK, NODATA, WATER, NO_COVERAGE, NO_YEAR, OUTSIDE, BAD_COORDINATE = range(len(REASONS))

# Stands for the year of a row that has none, and of layers that carry none.
NO_LAYER_YEAR = -1


class Candidates(NamedTuple):
    """Pixels found for n points: for every point in order of preference, points ascending.

    Attributes
    ----------
    point, file, row, col : int64 arrays of shape (m,)
        Which point, which of ``files``, which pixel counted from the file's first row and column.
    reason : uint8 array of shape (n,)
        Why a point has no candidate, `OK` where it has one.
    files : list
        What the source's reader needs to know of each file; each has a ``path`` and a ``year``.
    absent : list of str
        Files that the source names, that would serve a point, and that are not there.
    absent_file : int64 array of shape (n,)
        Which of ``absent`` would have served the point, -1 for none.
    distance : float64 array of shape (m,), default=None
        Metres from the point, for sources whose values stand for a place nearby.
    """

    point: np.ndarray
    file: np.ndarray
    row: np.ndarray
    col: np.ndarray
    reason: np.ndarray
    files: list[Any]
    absent: list[str]
    absent_file: np.ndarray
    distance: np.ndarray | None = None

    def first_of_points(self) -> np.ndarray:
        """Where each point's candidates start, shape (n + 1,)."""
        counts = np.bincount(self.point, minlength=self.reason.size)
        return np.concatenate(([0], np.cumsum(counts)))


def reasons_before_search(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """`BAD_COORDINATE` where a coordinate is missing, `NO_COVERAGE` elsewhere."""
    bad = np.isnan(lon) | np.isnan(lat)
    return np.where(bad, BAD_COORDINATE, NO_COVERAGE).astype(np.uint8)
