"""LocationTransformer: what every transformer that reads longitude and latitude shares."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import validate_data

from geofeat._coordinates import check_layout, is_geometry, read_lonlat, require_lonlat
from geofeat._rows import RowTransformer
from geofeat._sklearn import _fit_context, check_same_namespace


class LocationTransformer(RowTransformer):
    """Base of transformers that turn (lon, lat) rows into features, row by row.

    A subclass has parameters, `_parameter_constraints`, feature names (`_feature_names`), their
    number (`_n_features_out`) and one hook, ``_encode(lon, lat, xp, out=None)``: features of 1-D
    degrees, longitudes in [-180, 180), where a missing place is NaN in both.
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and keep its bounds; no transformer of this family learns from it.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The transformer itself.
        """
        X = self._check_columns(X, reset=True)
        lon, lat, xp = read_lonlat(X, type(self).__name__)
        self.bounds_ = _bounds(lon, lat, xp)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        """Check X and read longitude and latitude, and their namespace."""
        self._validate_params()
        X = self._check_columns(X, reset=False)
        if hasattr(self, "bounds_") and not is_geometry(X):
            check_same_namespace(X, self, attribute="bounds_", method="transform")
        lon, lat, xp = read_lonlat(X, type(self).__name__)
        return (lon, lat), xp

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        owner = type(self).__name__
        X = check_layout(X, owner)
        if not is_geometry(X):
            require_lonlat(X, owner)
        lon, lat, _ = read_lonlat(X, owner)
        return lon, lat

    def _check_columns(self, X: Any, *, reset: bool) -> Any:
        X = check_layout(X, type(self).__name__)
        if is_geometry(X):  # whatever columns lie beside the geometry are none of our business
            if reset:
                for attribute in ("n_features_in_", "feature_names_in_"):
                    if hasattr(self, attribute):
                        delattr(self, attribute)
            return X
        if not reset and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)
        require_lonlat(X, type(self).__name__)
        if reset:
            validate_data(self, X, reset=True, skip_check_array=True)
        return X


def _bounds(lon: Any, lat: Any, xp: Any) -> Any:
    """West, south, east, north of the points that are not missing; NaN if all are."""
    edges = []
    for reduce, fill in ((xp.min, xp.inf), (xp.max, -xp.inf)):
        for axis in (lon, lat):
            edge = reduce(xp.where(xp.isnan(axis), fill, axis))
            edges.append(xp.where(xp.isinf(edge), xp.nan, edge))
    return xp.stack(edges)
