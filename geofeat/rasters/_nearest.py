"""The nearest of many places on the ellipsoid of WGS 84."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

_EQUATOR_METRES = 6_378_137.0
_SQUARED_ECCENTRICITY = 6.694379990141317e-3
_MEAN_RADIUS_METRES = 6_371_008.8


def earth_centred(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Coordinates in metres from the Earth's centre, shape (n, 3), of degrees at height 0."""
    phi, lam = np.radians(lat), np.radians(lon)
    curvature = _EQUATOR_METRES / np.sqrt(1 - _SQUARED_ECCENTRICITY * np.sin(phi) ** 2)
    return np.column_stack(
        [
            curvature * np.cos(phi) * np.cos(lam),
            curvature * np.cos(phi) * np.sin(lam),
            curvature * (1 - _SQUARED_ECCENTRICITY) * np.sin(phi),
        ]
    )


def metres_of_chord(chord: np.ndarray) -> np.ndarray:
    """Length along the surface of a straight line between two places of it, in metres.

    Right to 1e-6 up to 100 km and to 4e-3 to the other side of the Earth: the chord knows the
    ellipsoid, only its bending is that of a sphere.
    """
    half = np.minimum(chord / (2 * _MEAN_RADIUS_METRES), 1.0)
    return np.asarray(2 * _MEAN_RADIUS_METRES * np.arcsin(half))


class Places:
    """Different places among rows of a table, and which rows belong to each.

    Parameters
    ----------
    lon, lat : float64 arrays of shape (n,)
        Degrees; rows that agree to 7 decimals, a centimetre, are one place.
    stamp : int64 array of shape (n,)
        Time of each row.
    rows : int64 array of shape (n,)
        What the caller calls them.
    """

    def __init__(self, lon: np.ndarray, lat: np.ndarray, stamp: np.ndarray, rows: np.ndarray):
        # The latest row of a place comes first, rows of one time in the order of the table.
        order = np.lexsort((np.arange(rows.size), ~stamp, lat.round(7), lon.round(7)))
        key = np.column_stack([lon.round(7), lat.round(7)])[order]
        new = np.append(True, (key[1:] != key[:-1]).any(axis=1))[: rows.size]
        self._starts = np.append(np.flatnonzero(new), rows.size)
        self._rows = rows[order]
        self._metres = earth_centred(lon[order][new], lat[order][new])

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self._metres)

    def nearest(
        self, lon: np.ndarray, lat: np.ndarray, max_distance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Position of the nearest place, -1 beyond ``max_distance`` metres; and the distance."""
        # No chord is longer than the way along the surface.
        chord, found = self._tree.query(
            earth_centred(lon, lat), distance_upper_bound=max_distance * (1 + 1e-9) + 1e-6
        )
        distance = metres_of_chord(chord)
        reached = np.isfinite(chord) & (distance <= max_distance)
        return np.where(reached, found, -1), distance

    def rows(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (position in ``place``, row), the latest row of a place first."""
        counts = np.diff(self._starts)[place]
        which = np.repeat(np.arange(place.size), counts)
        first = np.repeat(self._starts[place] - np.append(0, np.cumsum(counts)[:-1]), counts)
        return which, self._rows[first + np.arange(which.size)]
