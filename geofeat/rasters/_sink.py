"""Where decoded pixels go: rows of the output, or spare rows until a better pixel failed."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._gather import gather_scaled, scatter_table, scatter_values
from geofeat.rasters._candidates import NODATA, OK

UNREAD = 255


class PixelSink:
    """Takes the pixels of candidates from a reader, in any order and from any thread.

    Parameters
    ----------
    out : float32 array of shape (n_points, n_bands)
        Rows of the points.
    n_candidates : int
        How many pixels may arrive.
    missing : {"any", "all"}
        Whether one missing band makes a missing vector.
    """

    def __init__(self, out: np.ndarray, n_candidates: int, missing: str):
        self.out = out
        self.spare = np.empty((0, out.shape[1]), dtype=out.dtype)
        self.target = np.zeros(n_candidates, dtype=np.int64)
        self.status = np.full(n_candidates, UNREAD, dtype=np.uint8)
        self.any_missing = missing == "any"

    def put_bytes(self, which: np.ndarray, raw: np.ndarray, tables: np.ndarray) -> None:
        """Take bytes of shape (bands, k) for the candidates ``which``, decoded by tables."""
        valid = scatter_table(
            raw, tables, self.target[which], self.out, self.spare, self.any_missing
        )
        self.status[which] = np.where(valid, OK, NODATA)

    def put_values(self, which: np.ndarray, values: np.ndarray) -> None:
        """Take decoded float32 values of shape (bands, k)."""
        valid = scatter_values(values, self.target[which], self.out, self.spare, self.any_missing)
        self.status[which] = np.where(valid, OK, NODATA)

    def put_scaled(
        self,
        which: np.ndarray,
        stored: np.ndarray,
        scales: np.ndarray,
        pixels: np.ndarray,
        bands: np.ndarray,
        limit: float,
    ) -> np.ndarray:
        """Read pixels from arrays of stored numbers and scales; see `gather_scaled`."""
        state: np.ndarray = gather_scaled(
            stored,
            scales,
            pixels,
            bands,
            limit,
            self.target[which],
            self.out,
            self.spare,
            self.any_missing,
        )
        self.status[which] = np.where(state == 0, OK, NODATA)
        return state
