"""plot_coverage: where a sampler has values, and why it has none elsewhere."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from geofeat._columns import frame_names
from geofeat._coordinates import is_geometry, read_places
from geofeat.exceptions import CoverageWarning
from geofeat.plotting._axes import QUIET, axes_for, dot_size, dots, legend_beside
from geofeat.plotting._views import view_of_points

_COLOURS = {
    "ok": QUIET,
    "nodata": "#D55E00",
    "water": "#0072B2",
    "no_coverage": "#CC79A7",
    "no_year": "#E69F00",
    "outside": "#009E73",
    "bad_coordinate": "#000000",
}


def plot_coverage(sampler: Any, X: Any, *, ax: Any = None) -> Any:
    """Draw points by what a sampler finds there: a value, or the reason why there is none.

    Parameters
    ----------
    sampler : EmbeddingRasterSampler
        Anything with ``sample(X, return_info=True)``, of one year.
    X : array-like, data frame or geometry of shape (n, n_columns >= 2)
        Points: longitude and latitude in degrees in the first two columns, or geometries in any
        CRS; polygons, with ``zonal``, are drawn at a point inside.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on. None: those of a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. Its legend counts the points of each reason, those without a place
        (bad_coordinate) included, and names the years of the layers read.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install 'geofeat[plot]'``.
    ValueError
        For a sampler of several years: draw one year at a time.

    See Also
    --------
    geofeat.EmbeddingRasterSampler : What the reasons mean.

    Notes
    -----
    The values are read. Rows without one are drawn, not warned of, and raise no error whatever
    ``on_missing`` says.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> import xarray as xr
    >>> from geofeat import EmbeddingRasterSampler
    >>> from geofeat.plotting import plot_coverage
    >>> raster = xr.DataArray(
    ...     np.array([[[1, 2], [3, np.nan]]], dtype=np.float32),
    ...     coords={"band": ["height"], "lat": [50.5, 49.5], "lon": [7.5, 8.5]},
    ...     dims=("band", "lat", "lon"),
    ... )
    >>> ax = plot_coverage(
    ...     EmbeddingRasterSampler(raster), [[7.2, 50.9], [8.9, 49.1], [7.1, 49.8], [9.5, 50.0]]
    ... )
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['ok (2)', 'nodata (1)', 'no_coverage (1)']
    >>> plt.close(ax.figure)
    """
    if not hasattr(sampler, "sample") or frame_names(sampler) is not None:
        raise TypeError(
            "plot_coverage needs a sampler, such as EmbeddingRasterSampler, got a "
            f"{type(sampler).__name__}."
        )
    reasons, title = _reasons(sampler, X)
    if is_geometry(X) and not (X.geometry.dropna().geom_type == "Point").all():
        X = X.geometry.representative_point()
    lon, lat = read_places(X, "plot_coverage")
    view = view_of_points(lon, lat)
    ax = axes_for(ax, "plot_coverage", (view.figsize[0] + 1.3, view.figsize[1]))
    view.finish(ax)
    x, y = view.project(lon, lat)
    found = set(reasons.tolist())
    known = [reason for reason in _COLOURS if reason in found]
    for reason in [*known, *sorted(found - set(known))]:
        own = reasons == reason
        ok = reason == "ok"
        dots(
            ax, x[own], y[own], lon.size, label=f"{reason} ({own.sum()})",
            color=_COLOURS.get(reason, "#000000"), zorder=2 if ok else 3,
            s=dot_size(lon.size) * (1.0 if ok else 2.0),
        )  # fmt: skip
    legend_beside(ax, len(found), title)
    return ax


def _reasons(sampler: Any, X: Any) -> tuple[np.ndarray, str | None]:
    """Reason of every row, and which layers were read."""
    if hasattr(sampler, "on_missing"):
        sampler = copy.copy(sampler)
        sampler.on_missing = "nan"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        _, info = sampler.sample(X, return_info=True)
    if "reason" not in info:
        several = [name.removeprefix("reason_") for name in info if name.startswith("reason_")]
        raise ValueError(
            f"plot_coverage draws one year at a time, this sampler reads {', '.join(several)}: "
            f"pass clone(sampler).set_params(year={several[0] if several else '...'})"
        )
    reasons = info["reason"].astype(str).to_numpy(dtype=object)
    years = sorted(set(info["year"].dropna())) if "year" in info else []
    if not years:
        return reasons, None
    ends = f"{years[0]}" if len(years) == 1 else f"{years[0]} to {years[-1]}"
    return reasons, f"layer{'s' * (len(years) > 1)} of {ends}"
