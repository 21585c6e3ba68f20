"""Vectors to draw: of a transformer at pixels or points, of a map, or given with their points."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from geofeat._columns import frame_names
from geofeat._coordinates import read_places
from geofeat._fitted_columns import without_fitted_columns
from geofeat.exceptions import CoverageWarning
from geofeat.plotting._maps import map_vectors
from geofeat.plotting._views import (
    GlobeView,
    MapView,
    center_of,
    globe_view,
    map_view,
    view_of_points,
)

# Features in float64 that are computed at once.
_BLOCK_BYTES = 2**26


class Scene(NamedTuple):
    """Vectors and where they are drawn.

    ``pixels`` are the positions of the rows in an image of the view's shape; None of points, whose
    places are ``lonlat``. ``at`` computes the vectors of rows.
    """

    view: MapView | GlobeView
    n_rows: int
    at: Callable[[Any], np.ndarray]
    names: list[str] | None
    pixels: np.ndarray | None
    lonlat: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.names) if self.names else self.at(slice(0, 1)).shape[1]

    def blocks(self) -> list[slice]:
        """Rows whose vectors are computed at once."""
        step = max(1, _BLOCK_BYTES // (8 * self.width))
        return [slice(first, first + step) for first in range(0, self.n_rows, step)]

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values of the rows as an image, NaN where there is no pixel."""
        image = np.full((np.prod(self.view.shape), *values.shape[1:]), np.nan)
        image[self.pixels] = values
        return image.reshape(*self.view.shape, *values.shape[1:])


def scene(
    embedding: Any,
    X: Any,
    projection: str,
    center: Sequence[float],
    bounds: Sequence[float] | None,
    resolution: Any,
    owner: str,
) -> Scene:
    """Find out what is to be drawn where."""
    if projection not in ("map", "globe"):
        raise ValueError(f"projection must be 'map' or 'globe', got {projection!r}")
    if projection == "globe" and bounds is not None:
        raise ValueError("bounds are those of a map: a globe shows the half around its center")
    if projection == "map" and center_of(center) != (0.0, 0.0):
        raise ValueError("center is that of a globe: pass projection='globe', or bounds of a map")
    at_pixels = X is None and _is_transformer(embedding)
    if resolution is not None and not (at_pixels or (projection == "globe" and X is None)):
        raise ValueError(
            "resolution is that of a picture of a transformer; values lie where they lie"
        )
    view: MapView | GlobeView | None = None
    if projection == "globe":
        view = globe_view(center, resolution)
    elif at_pixels:
        view = map_view(bounds, resolution)
    if hasattr(embedding, "dims") and X is None:
        return _of_map(embedding, view, bounds, owner)
    if at_pixels and view is not None:
        pixels, places = view.places()
        at = _computed(embedding)
        return Scene(view, pixels.size, lambda rows: at(places[rows]), names_of(embedding), pixels)
    return _of_points(embedding, X, view, bounds, owner)


def names_of(embedding: Any) -> list[str] | None:
    """Feature names of a transformer or a data frame, None where it has none."""
    columns = frame_names(embedding)
    if columns is not None:
        return [str(name) for name in columns]
    try:
        return [str(name) for name in embedding.get_feature_names_out()]
    except (AttributeError, ValueError):
        return None


def feature_position(feature: Any, names: list[str] | None, width: int) -> tuple[int, str]:
    """Position of a feature given by position or name, and its name."""
    if isinstance(feature, str):
        if names is None:
            raise ValueError(f"these features have no names: give the position of {feature!r}")
        if feature not in names:
            near = difflib.get_close_matches(feature, names, 3) or names[:3]
            raise ValueError(
                f"no feature is named {feature!r}; there are {width}, such as {', '.join(near)}"
            )
        return names.index(feature), feature
    if not isinstance(feature, Integral) or isinstance(feature, bool):
        raise TypeError(f"feature must be a position or a name, got {feature!r}")
    position = int(feature)
    if not -width <= position < width:
        raise ValueError(f"feature {position} does not exist: there are {width}, from 0")
    position %= width
    return position, names[position] if names else f"feature {position}"


def _is_transformer(embedding: Any) -> bool:
    return (
        hasattr(embedding, "transform")
        and not isinstance(embedding, type)
        and frame_names(embedding) is None
    )


def _computed(transformer: Any) -> Callable[[Any], np.ndarray]:
    """Vectors of places by a transformer; where it has none they are NaN, without a word."""
    transformer = without_fitted_columns(transformer)

    def transform(places: Any) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)
            return np.asarray(transformer.transform(places))

    return transform


def _of_map(
    array: Any, view: MapView | GlobeView | None, bounds: Sequence[float] | None, owner: str
) -> Scene:
    own_view, vectors, names = map_vectors(array, bounds, owner)
    n_bands = vectors.shape[0]
    flat = vectors.reshape(n_bands, -1)
    if not isinstance(view, GlobeView):
        return Scene(
            own_view, flat.shape[1], lambda rows: flat[:, rows].T, names, np.arange(flat.shape[1])
        )
    pixels, places = view.places()
    cells = own_view.cells_of(*places.T)
    pixels, cells = pixels[cells >= 0], cells[cells >= 0]
    return Scene(view, pixels.size, lambda rows: flat[:, cells[rows]].T, names, pixels)


def _of_points(
    embedding: Any,
    X: Any,
    view: MapView | GlobeView | None,
    bounds: Sequence[float] | None,
    owner: str,
) -> Scene:
    if X is None:
        raise TypeError(
            f"{owner} draws a transformer, an xarray.DataArray of dimensions (band, y, x), or an "
            f"array of vectors with its points X; got a {type(embedding).__name__} without X."
        )
    lonlat = read_places(X, owner)
    names = names_of(embedding)
    vectors = _computed(embedding)(X) if _is_transformer(embedding) else np.asarray(embedding)
    if vectors.dtype.kind not in "fiub":
        vectors = vectors.astype(np.float64)
    if vectors.ndim != 2 or vectors.shape[0] != lonlat[0].size or vectors.shape[1] == 0:
        raise ValueError(
            f"{owner} needs one vector a point, an array of shape ({lonlat[0].size}, d) for these "
            f"X, got shape {vectors.shape}"
        )
    return Scene(
        view or view_of_points(*lonlat, bounds), vectors.shape[0], vectors.__getitem__, names,
        None, lonlat,
    )  # fmt: skip
