"""Spatial cross-validation: whole blocks of the Earth are tested at a time."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state, indexable

from geofeat._columns import describe_rows
from geofeat._coordinates import EARTH_RADIUS_KM, is_geometry, read_places
from geofeat._sklearn import Interval, validate_parameter_constraints
from geofeat._threads import usable_threads
from geofeat.evaluation._equal_area_cells import EqualAreaCells


class SpatialBlockKFold(BaseCrossValidator):
    """K-fold cross-validation over equal-area blocks of the Earth.

    Neighbours resemble each other, so a random split tests a model on places it has nearly seen.
    Here the points of one block are all trained on or all tested [1]_, and with a ``buffer`` the
    training points near the test points are left out as well.

    The blocks tile the sphere: a cap at each pole, and between the caps collars of about
    ``block_size`` cut by meridians into cells of about ``block_size``. All blocks have exactly the
    same area, on any latitude [2]_. The collars close at 180 degrees: the points at 179.9 and
    -179.9 degrees lie in neighbouring blocks, as near to each other for the ``buffer`` as they are
    on the ground.

    The blocks are dealt to the folds from the fullest to the emptiest, each to the fold that holds
    the fewest points so far: the folds hold nearly the same number of points unless a few blocks
    hold most of them. The folds depend on where the points lie, not on the order of the rows.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    block_size : float, default=100.0
        Side of a square with the area of a block, in km, from 0.001. Take at least the distance
        over which the residuals of the model are correlated; the number of blocks is rounded to a
        whole one, which matters above some 3000 km only.
    buffer : float, default=0.0
        Training points within this great-circle distance of any test point are left out, in km on
        a sphere of radius 6371.0088 km. 0 leaves nothing out.
    shuffle : bool, default=False
        Deal blocks of about the same number of points, within a factor of two, in random order.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling. An int gives the same folds at every call.

    Raises
    ------
    ValueError
        While splitting, when a coordinate is missing, when there are fewer blocks with points than
        folds, or when the buffer leaves nothing to train on.

    See Also
    --------
    sklearn.model_selection.LeaveOneGroupOut : Tests one block at a time, given `block_ids`.

    Notes
    -----
    Coordinates are read from ``X`` when ``groups`` is None: longitude and latitude in the first two
    columns of a table, or points of a GeoDataFrame in any CRS. When ``X`` holds features instead,
    the coordinates go into ``groups``: two-dimensional ``groups`` and geometries are coordinates,
    with the rules of ``X``. One-dimensional ``groups`` are labels of ready-made blocks, such as
    districts or watersheds, used in place of cells; ``block_size`` then has no effect, and the
    coordinates that a ``buffer`` needs are read from ``X``.

    The splitter asks for ``groups`` when metadata routing is enabled, like `GroupKFold`;
    ``set_split_request(groups="name")`` renames what it asks for.

    References
    ----------
    .. [1] D. R. Roberts et al., "Cross-validation strategies for data with temporal, spatial,
       hierarchical, or phylogenetic structure", Ecography 40, 2017, 913-929.
       https://doi.org/10.1111/ecog.02881
    .. [2] P. Leopardi, "A partition of the unit sphere into regions of equal area and small
       diameter", Electronic Transactions on Numerical Analysis 25, 2006, 309-327.

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat.evaluation import SpatialBlockKFold
    >>> lonlat = np.random.default_rng(0).uniform([3.4, 50.8], [7.2, 53.6], size=(1000, 2))
    >>> folds = SpatialBlockKFold(n_splits=4, block_size=50.0, buffer=5.0)
    >>> for train, test in folds.split(lonlat):
    ...     print(len(train), len(test))
    737 249
    733 251
    736 251
    733 249
    >>> len(np.unique(folds.block_ids(lonlat)))
    43
    """

    # What metadata routing asks of `split`: groups, where the caller has them.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_splits": [Interval(Integral, 2, None, closed="left")],
        "block_size": [Interval(Real, 0.001, None, closed="left")],
        "buffer": [Interval(Real, 0, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_splits: int = 5,
        *,
        block_size: float = 100.0,
        buffer: float = 0.0,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        # A splitter has no fit: its parameters are checked when it is made, as scikit-learn's are.
        parameters = {
            "n_splits": n_splits,
            "block_size": block_size,
            "buffer": buffer,
            "shuffle": shuffle,
            "random_state": random_state,
        }
        validate_parameter_constraints(
            self._parameter_constraints, parameters, caller_name=type(self).__name__
        )
        if random_state is not None and not shuffle:
            raise ValueError(
                f"random_state={random_state!r} has no effect without shuffle=True: set it, or "
                "leave random_state=None."
            )
        self.n_splits = n_splits
        self.block_size = block_size
        self.buffer = buffer
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            The parameter.
        """
        return int(self.n_splits)

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the row numbers to train on and to test on, fold by fold.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.
            Anything of n_samples rows when ``groups`` holds the coordinates.
        y : object
            Ignored.
        groups : array-like, data frame or geometry, default=None
            Coordinates of shape (n_samples, 2) or points when ``X`` holds none, or labels of
            ready-made blocks of shape (n_samples,).

        Yields
        ------
        train : ndarray of int
            Row numbers, ascending.
        test : ndarray of int
            Row numbers, ascending. Every row is tested in exactly one fold.
        """
        X, y, groups = indexable(X, y, groups)
        labelled = groups is not None and not is_geometry(groups) and _n_dimensions(groups) == 1
        blocks = self._labels(groups) if labelled else None
        vectors = None
        if blocks is None or self.buffer > 0:
            lon, lat = self._coordinates(X if groups is None or labelled else groups)
            blocks = self._cells().cell_of(lon, lat) if blocks is None else blocks
            vectors = _unit_vectors(lon, lat) if self.buffer > 0 else None
        fold_of_row = self._folds(blocks)
        for fold in range(self.n_splits):
            tested = fold_of_row == fold
            train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
            if vectors is not None:
                train = train[_nearest_km(vectors[train], vectors[test], self.buffer) > self.buffer]
                if not train.size:
                    raise ValueError(
                        f"buffer={self.buffer:g} km leaves no training point in fold {fold}: every "
                        "other point is as near to a test point. Take a smaller buffer."
                    )
            yield train, test

    def block_ids(self, X: Any) -> np.ndarray:
        """Block of every point, for maps and for scikit-learn's group splitters.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.

        Returns
        -------
        block_ids : ndarray of shape (n_samples,)
            Numbers, int64, of the blocks of the whole Earth, from north to south and from west to
            east. They depend on ``block_size`` alone.
        """
        return self._cells().cell_of(*self._coordinates(X))

    def block_bounds(self, block_ids: Any) -> np.ndarray:
        """Edges of blocks, two meridians and two parallels, to draw them on a map.

        Parameters
        ----------
        block_ids : array-like of shape (n_blocks,)
            Numbers returned by `block_ids`.

        Returns
        -------
        bounds : ndarray of shape (n_blocks, 4)
            West, south, east, north in degrees; a cap around a pole goes from -180 to 180.
        """
        ids = np.asarray(block_ids)
        n_blocks = self._cells().n_cells
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"block_bounds expects a list of whole numbers, got {ids.dtype} of shape "
                f"{ids.shape}."
            )
        if ids.size and (ids.min() < 0 or ids.max() >= n_blocks):
            raise ValueError(
                f"block_size={self.block_size:g} km makes the blocks 0 to {n_blocks - 1}, got "
                f"{ids.min()} to {ids.max()}."
            )
        return self._cells().bounds_of(ids.astype(np.int64))

    def _cells(self) -> EqualAreaCells:
        return EqualAreaCells.of_size(self.block_size)

    def _coordinates(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude in float64, none missing."""
        owner = type(self).__name__
        lon, lat = read_places(X, owner)
        missing = np.isnan(lon)
        if missing.any():
            raise ValueError(
                f"{owner} cannot place {describe_rows(missing)}: their coordinates are missing or "
                "no place on Earth. Drop these rows before splitting."
            )
        return lon, lat

    def _labels(self, groups: Any) -> np.ndarray:
        """Whole numbers for the labels of ready-made blocks, in the order of the labels."""
        import pandas as pd

        codes, _ = pd.factorize(np.asarray(groups), sort=True)
        missing = codes < 0
        if missing.any():
            raise ValueError(
                f"{type(self).__name__} got no block label in {describe_rows(missing)}: drop these "
                "rows before splitting."
            )
        return codes

    def _folds(self, blocks: np.ndarray) -> np.ndarray:
        """Fold of every row: the fullest block first, each to the emptiest fold."""
        _, block_of_row, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
        if sizes.size < self.n_splits:
            raise ValueError(
                f"Cannot have number of splits n_splits={self.n_splits} greater than the number of "
                f"blocks that hold points: {sizes.size}. Take fewer splits or smaller blocks "
                f"(block_size={self.block_size:g} km)."
            )
        if self.shuffle:
            rng = check_random_state(self.random_state)
            # Strictly by size there would be nothing to shuffle; by powers of two the folds stay
            # balanced, because the small blocks still come last.
            order = rng.permutation(sizes.size)
            order = order[np.argsort(-np.frexp(sizes[order])[1], kind="stable")]
        else:
            order = np.argsort(-sizes, kind="stable")
        fold_of_block = np.empty(sizes.size, dtype=np.intp)
        fold_sizes = [(0, fold) for fold in range(self.n_splits)]
        for block in order:
            n_points, fold = fold_sizes[0]
            fold_of_block[block] = fold
            heapq.heapreplace(fold_sizes, (n_points + int(sizes[block]), fold))
        return fold_of_block[block_of_row]


def _n_dimensions(groups: Any) -> int:
    return len(groups.shape) if hasattr(groups, "shape") else np.ndim(groups)


def _unit_vectors(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Points on the unit sphere, shape (n, 3), from degrees."""
    phi, theta = np.radians(lon), np.radians(lat)
    return np.stack(
        [np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), np.sin(theta)], axis=1
    )


def _nearest_km(of: np.ndarray, among: np.ndarray, limit_km: float) -> np.ndarray:
    """Great-circle distance to the nearest of other points, infinite beyond ``limit_km``."""
    angle = min(limit_km / EARTH_RADIUS_KM, np.pi)
    # The tree measures chords; the margin keeps rounding from losing a point at the very limit.
    reach = 2.0 * np.sin(angle / 2.0) * (1.0 + 1e-9) + 1e-12
    chord, _ = cKDTree(among).query(of, distance_upper_bound=reach, workers=usable_threads())
    near = np.isfinite(chord)
    distance = np.full(chord.shape, np.inf)
    distance[near] = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord[near] / 2.0, 1.0))
    return distance
