"""plot_feature: one feature as a map, a globe or dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from geofeat.plotting._axes import axes_for, dots
from geofeat.plotting._vectors import feature_position, scene

# Share of the largest value below which a value has no sign.
_ROUNDING = 1e-6


def plot_feature(
    embedding: Any,
    feature: int | str = 0,
    X: Any = None,
    *,
    projection: Literal["map", "globe"] = "map",
    center: Sequence[float] = (0.0, 0.0),
    bounds: Sequence[float] | None = None,
    resolution: float | Sequence[float] | None = None,
    ax: Any = None,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar: bool = True,
) -> Any:
    """Draw one feature of an embedding as a map, a globe or dots.

    Parameters
    ----------
    embedding : transformer, xarray.DataArray or array of shape (n, d)
        As in `plot_embedding`.
    feature : int or str, default=0
        Position of the feature, or its name.
    X, projection, center, bounds, resolution, ax : object
        As in `plot_embedding`.
    cmap : str or matplotlib.colors.Colormap, default=None
        None: red and blue on both sides of 0 where the feature takes both signs, viridis where it
        does not.
    vmin, vmax : float, default=None
        Values of the first and the last colour. None: those of the data; with ``cmap=None`` and
        both signs, as far from 0 as the other.
    colorbar : bool, default=True
        Whether to draw a colour bar that names the feature.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. An image is ``ax.images[-1]``, dots are ``ax.collections[-1]``.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install 'geofeat[plot]'``.
    ValueError
        Where there is no such feature, or no place shown has a value.
    LimitError
        For pictures of more than 10 million pixels.

    See Also
    --------
    plot_embedding : All features at once, as colours.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from geofeat import SphericalHarmonicsEncoder
    >>> from geofeat.plotting import plot_feature
    >>> ax = plot_feature(SphericalHarmonicsEncoder(degree=3), "sh_l3_m2", resolution=5.0)
    >>> ax.images[-1].get_array().shape
    (36, 72)
    >>> plt.close(ax.figure)
    """
    shown = scene(embedding, X, projection, center, bounds, resolution, "plot_feature")
    width = shown.width
    position, name = feature_position(feature, shown.names, width)
    values = np.concatenate([shown.at(rows)[:, position] for rows in shown.blocks()])
    values = values.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    known = ~np.isnan(values)
    if not known.any():
        raise ValueError(
            f"plot_feature: {name} has no value at any of the {shown.n_rows} places shown; give "
            "bounds= of a place where it has"
        )
    style = _colour_style(values[known], cmap, vmin, vmax)
    ax = axes_for(ax, "plot_feature", shown.view.figsize)
    if shown.lonlat is not None:
        x, y = shown.view.project(*shown.lonlat)
        shown.view.finish(ax)
        drawn = dots(ax, x[known], y[known], shown.n_rows, c=values[known], zorder=2, **style)
    else:
        drawn = shown.view.draw(ax, np.ma.masked_invalid(shown.image(values)), **style)
    if colorbar:
        # An inset is as high as the map, whatever its shape.
        ax.figure.colorbar(drawn, cax=ax.inset_axes((1.025, 0.05, 0.03, 0.9)), label=name)
    return ax


def _colour_style(
    values: np.ndarray, cmap: Any, vmin: float | None, vmax: float | None
) -> dict[str, Any]:
    """Colour map and limits: symmetric about 0 where the values take both signs."""
    low = float(values.min()) if vmin is None else vmin
    high = float(values.max()) if vmax is None else vmax
    if cmap is not None:
        return {"cmap": cmap, "vmin": low, "vmax": high}
    limit = max(-low, high)
    if low >= -_ROUNDING * limit or high <= _ROUNDING * limit:
        return {"cmap": "viridis", "vmin": low, "vmax": high}
    if vmin is None:
        low = -limit if vmax is None else -vmax
    if vmax is None:
        high = -low
    return {"cmap": "RdBu_r", "vmin": low, "vmax": high}
