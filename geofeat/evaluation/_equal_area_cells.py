"""Cells of one area that tile the sphere, the ground of the spatial splitters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofeat._coordinates import EARTH_RADIUS_KM


class EqualAreaCells(NamedTuple):
    """The sphere cut into ``n_cells`` cells of exactly one area, nearly square away from the poles.

    A cap around each pole is one cell. Between the caps lie ``n_collars`` collars of nearly one
    height, each cut by meridians into a whole number of cells, the first at 180 degrees. The cells
    of a collar are as many as its area holds to rounding, and then the parallel between two
    collars is moved to where the number of cells north of it asks for: this makes the areas equal,
    and a cell of any size is found by a formula, without a table. It is the zonal partition of
    Leopardi [1]_, with the rounding done on the number of cells north of a parallel.

    Cells are numbered from north to south, in a collar from west to east.

    References
    ----------
    .. [1] P. Leopardi, "A partition of the unit sphere into regions of equal area and small
       diameter", Electronic Transactions on Numerical Analysis 25, 2006, 309-327.
    """

    n_cells: int
    n_collars: int
    cap_colatitude: float

    @classmethod
    def of_size(cls, size_km: float) -> EqualAreaCells:
        """Cells whose area is as near to ``size_km`` squared as a whole number of cells allows."""
        n_cells = max(1, round(4.0 * np.pi * (EARTH_RADIUS_KM / size_km) ** 2))
        if n_cells == 1:
            return cls(1, 0, np.pi)
        cap = 2.0 * np.arcsin(1.0 / np.sqrt(n_cells))
        height = np.sqrt(4.0 * np.pi / n_cells)
        n_collars = 0 if n_cells == 2 else max(1, round((np.pi - 2.0 * cap) / height))
        return cls(n_cells, n_collars, float(cap))

    @property
    def collar_height(self) -> float:
        """Extent of a collar in latitude before rounding, in radians."""
        if self.n_collars == 0:
            return np.pi
        return (np.pi - 2.0 * self.cap_colatitude) / self.n_collars

    def cells_north_of(self, row: np.ndarray) -> np.ndarray:
        """Count the cells north of a row; the caps are rows 0 and ``n_collars + 1``."""
        if self.n_cells == 1:
            return np.where(row <= 0, 0, 1)
        colatitude = self.cap_colatitude + (row - 1) * self.collar_height
        count = np.rint(self.n_cells * np.sin(colatitude / 2.0) ** 2).astype(np.int64)
        count = np.where(row <= 1, 1, np.where(row > self.n_collars, self.n_cells - 1, count))
        return np.where(row <= 0, 0, np.where(row > self.n_collars + 1, self.n_cells, count))

    def row_of(self, share: np.ndarray) -> np.ndarray:
        """Row of points, from the area north of them counted in cells."""
        if self.n_cells == 1:
            return np.zeros(share.shape, dtype=np.int64)
        colatitude = 2.0 * np.arcsin(np.sqrt(np.clip(share / self.n_cells, 0.0, 1.0)))
        row = np.floor((colatitude - self.cap_colatitude) / self.collar_height).astype(np.int64) + 1
        row = np.clip(row, 0, self.n_collars + 1)
        # Rounding moved the edges by less than a row: one step to either side mends the guess.
        row = np.where(share < self.cells_north_of(row), row - 1, row)
        row = np.where(share >= self.cells_north_of(row + 1), row + 1, row)
        return np.clip(row, 0, self.n_collars + 1)

    def cell_of(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Cell numbers, int64, of points in degrees, longitudes in [-180, 180)."""
        # sin^2 of half the colatitude keeps the digits that 1 - sin(lat) loses near the pole.
        share = self.n_cells * np.sin(np.radians(90.0 - lat) / 2.0) ** 2
        row = self.row_of(share)
        first = self.cells_north_of(row)
        n_columns = self.cells_north_of(row + 1) - first
        column = np.floor((lon + 180.0) / 360.0 * n_columns).astype(np.int64)
        return first + np.clip(column, 0, n_columns - 1)

    def bounds_of(self, cell: np.ndarray) -> np.ndarray:
        """West, south, east, north of cells in degrees, shape (n, 4)."""
        row = self.row_of(cell + 0.5)
        first, after = self.cells_north_of(row), self.cells_north_of(row + 1)
        column, n_columns = cell - first, after - first
        west, east = (-180.0 + 360.0 * side / n_columns for side in (column, column + 1))
        north, south = (
            90.0 - 2.0 * np.degrees(np.arcsin(np.sqrt(count / self.n_cells)))
            for count in (first, after)
        )
        return np.stack([west, south, east, north], axis=1)
