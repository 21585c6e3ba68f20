"""plot_folds: which points a splitter tests together."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat._coordinates import is_geometry, read_places
from geofeat.plotting._axes import OKABE_ITO, QUIET, axes_for, dots, legend_beside
from geofeat.plotting._views import view_of_points

# Markers of folds beyond the seven colours, and entries of a legend.
_MARKERS = "os^DvP"
_MAX_ENTRIES = 32


def plot_folds(cv: Any, X: Any, y: Any = None, groups: Any = None, *, ax: Any = None) -> Any:
    """Draw points in the colour of the fold that tests them.

    Parameters
    ----------
    cv : splitter, int or iterable of pairs of row numbers
        What ``cross_val_score`` takes as ``cv``; a number means `KFold`.
    X : array-like, data frame or geometry of shape (n, n_columns >= 2)
        Points: longitude and latitude in degrees in the first two columns, or geometries in any
        CRS.
    y : array-like of shape (n,), default=None
        Labels, for splitters that look at them.
    groups : array-like, data frame or geometry, default=None
        Passed to the splitter. Coordinates or geometries are also where the points are drawn.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on. None: those of a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes. Its legend counts the points of each fold.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install 'geofeat[plot]'``.

    Notes
    -----
    A point that several folds test, as of repeated splits, has the colour of the first. Points
    that none tests are grey. A buffer takes points from the training of a fold, not from its test,
    so it is not seen. After seven folds colours come again with another marker; of more than 32
    folds the legend names the first.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from geofeat.evaluation import SpatialBlockKFold
    >>> from geofeat.plotting import plot_folds
    >>> lonlat = np.random.default_rng(0).uniform([3.4, 50.8], [7.2, 53.6], size=(1000, 2))
    >>> ax = plot_folds(SpatialBlockKFold(n_splits=4, block_size=50.0), lonlat)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['fold 0 (249)', 'fold 1 (251)', 'fold 2 (251)', 'fold 3 (249)']
    >>> plt.close(ax.figure)
    """
    from sklearn.model_selection import check_cv

    placed = groups is not None and (is_geometry(groups) or len(np.shape(groups)) == 2)
    lon, lat = read_places(groups if placed else X, "plot_folds")
    fold_of_row = np.full(lon.size, -1)
    n_folds = 0
    for fold, (_, test) in enumerate(check_cv(cv, y).split(X, y, groups)):
        tested = np.zeros(lon.size, dtype=bool)
        tested[test] = True
        fold_of_row[tested & (fold_of_row < 0)] = fold
        n_folds = fold + 1
    view = view_of_points(lon, lat)
    ax = axes_for(ax, "plot_folds", _beside_legend(view.figsize))
    view.finish(ax)
    x, y_drawn = view.project(lon, lat)
    for fold in range(-1, n_folds):
        own = fold_of_row == fold
        if fold < 0 and not own.any():
            continue
        label = "never tested" if fold < 0 else f"fold {fold}"
        dots(
            ax, x[own], y_drawn[own], lon.size,
            color=QUIET if fold < 0 else OKABE_ITO[fold % len(OKABE_ITO)],
            marker=_MARKERS[max(fold, 0) // len(OKABE_ITO) % len(_MARKERS)],
            label=f"{label} ({own.sum()})" if fold < _MAX_ENTRIES else None,
        )  # fmt: skip
    legend_beside(ax, min(n_folds + 1, _MAX_ENTRIES))
    return ax


def _beside_legend(figsize: tuple[float, float]) -> tuple[float, float]:
    return figsize[0] + 1.3, figsize[1]
