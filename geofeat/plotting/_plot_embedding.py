"""plot_embedding: vectors in the colours of their main components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from geofeat.plotting._axes import axes_for, dots
from geofeat.plotting._pca_rgb import PrincipalColours
from geofeat.plotting._vectors import Scene, scene

# Vectors in float64 of which the components are made.
_FIT_BYTES = 2**28
_STRETCH = 2.2


def plot_embedding(
    embedding: Any,
    X: Any = None,
    *,
    projection: Literal["map", "globe"] = "map",
    center: Sequence[float] = (0.0, 0.0),
    bounds: Sequence[float] | None = None,
    resolution: float | Sequence[float] | None = None,
    ax: Any = None,
) -> Any:
    """Draw an embedding as a map, a globe or dots: alike places get alike colours.

    Red, green and blue are the three main components of the vectors shown, see `pca_rgb`.

    Parameters
    ----------
    embedding : transformer, xarray.DataArray or array of shape (n, d)
        An encoder, embedder or sampler of places, or a fitted pipeline or union that begins with
        such, computed at the pixels of the picture; with ``X`` at its points. A map of dimensions
        (band, y, x) in degrees, as from `embed_grid`. Or vectors of the points ``X``.
    X : array-like, data frame or geometry of shape (n, n_columns >= 2), default=None
        Points, drawn as dots: longitude and latitude in degrees in the first two columns, or
        geometries in any CRS.
    projection : {"map", "globe"}, default="map"
        Longitude and latitude as they are, true to shape in the middle of a map up to 60 degrees
        high; or the globe from afar (orthographic).
    center : (lon, lat), default=(0.0, 0.0)
        Middle of the globe, in degrees.
    bounds : (west, south, east, north), default=None
        Edges of the map in degrees; a west beyond the east crosses the antimeridian. None: the
        world, or what the points or the map span.
    resolution : float or pair of floats, default=None
        Size of a pixel in degrees (of longitude and latitude; of a globe in its middle), rounded
        so that pixels fill the picture. None: about 65 000 pixels, 160 000 of a globe.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on. None: those of a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. An image is ``ax.images[-1]``, dots are ``ax.collections[-1]``.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install 'geofeat[plot]'``.
    ValueError
        Where no place shown has a value.
    LimitError
        For pictures of more than 10 million pixels.

    See Also
    --------
    plot_feature : One feature at a time.

    Notes
    -----
    Places without a value are transparent, and a sampler's `CoverageWarning` is not given. Vectors
    are computed block by block; where those of all pixels would take more than 256 MiB, the
    components are those of pixels spread evenly over the picture. Of a map of more than a million
    pixels every second, third, ... row and column is drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from geofeat import SphericalHarmonicsEncoder
    >>> from geofeat.plotting import plot_embedding
    >>> encoder = SphericalHarmonicsEncoder(degree=5, degree_decay=1.5)
    >>> ax = plot_embedding(encoder, projection="globe", center=(10.0, 50.0))
    >>> ax.images[-1].get_array().shape
    (400, 400, 4)
    >>> plt.close(ax.figure)
    """
    shown = scene(embedding, X, projection, center, bounds, resolution, "plot_embedding")
    colours = _colours(shown)
    known = ~np.isnan(colours[:, 0])
    if not known.any():
        raise ValueError(
            f"plot_embedding: the embedding has no value at any of the {shown.n_rows} places "
            "shown; give bounds= of a place where it has"
        )
    ax = axes_for(ax, "plot_embedding", shown.view.figsize)
    if shown.lonlat is not None:
        x, y = shown.view.project(*shown.lonlat)
        shown.view.finish(ax)
        dots(ax, x[known], y[known], shown.n_rows, c=colours[known], zorder=2)
        return ax
    image = shown.image(colours)
    alpha = ~np.isnan(image[..., :1])
    shown.view.draw(ax, np.concatenate([np.where(alpha, image, 0.0), alpha], axis=-1))
    return ax


def _colours(shown: Scene) -> np.ndarray:
    """Colours of all rows, NaN where there is no vector."""
    n_fitted = max(1, _FIT_BYTES // (8 * shown.width))
    if shown.n_rows <= n_fitted:
        vectors = np.concatenate([shown.at(rows) for rows in shown.blocks()])
        return PrincipalColours.of(vectors).of_rows(vectors, _STRETCH)
    # By the golden ratio they are spread over rows and columns of the image alike.
    share = np.arange(n_fitted) * 0.6180339887498949 % 1.0
    rows = np.unique((share * shown.n_rows).astype(np.intp))
    palette = PrincipalColours.of(shown.at(rows))
    return np.concatenate([palette.of_rows(shown.at(rows), _STRETCH) for rows in shown.blocks()])
