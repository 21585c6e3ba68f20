"""plot_block_importance: bars of what each block of features is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.plotting._axes import INK, OKABE_ITO, axes_for


def plot_block_importance(importance: Any, *, ax: Any = None) -> Any:
    """Draw what a model loses without each block of its features.

    Parameters
    ----------
    importance : Bunch or mapping
        From `geofeat.evaluation.block_importance`: ``names``, ``importances_mean`` and
        ``importances_std``.
    ax : matplotlib.axes.Axes, default=None
        Axes to draw on. None: those of a new figure.

    Returns
    -------
    ax : matplotlib.axes.Axes
        The axes: a bar a block, the most important on top, with lines of one standard deviation
        over the repeats to both sides.

    Raises
    ------
    ImportError
        Without matplotlib: ``pip install 'geofeat[plot]'``.

    See Also
    --------
    geofeat.evaluation.block_importance : The numbers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from geofeat.plotting import plot_block_importance
    >>> ax = plot_block_importance(
    ...     {
    ...         "names": ["place", "embedding"],
    ...         "importances_mean": [0.05, 0.31],
    ...         "importances_std": [0.01, 0.02],
    ...     }
    ... )
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['embedding', 'place']
    >>> plt.close(ax.figure)
    """
    try:
        names = [str(name) for name in importance["names"]]
        means = np.asarray(importance["importances_mean"], dtype=np.float64)
        deviations = np.asarray(importance["importances_std"], dtype=np.float64)
    except (KeyError, TypeError, IndexError) as error:
        raise TypeError(
            "plot_block_importance draws what block_importance returns, with names, "
            f"importances_mean and importances_std; got a {type(importance).__name__}."
        ) from error
    if not len(names) == means.size == deviations.size:
        raise ValueError(
            f"plot_block_importance got {len(names)} names, {means.size} means and "
            f"{deviations.size} standard deviations"
        )
    ax = axes_for(ax, "plot_block_importance", (6.4, 1.2 + 0.42 * len(names)))
    order = np.argsort(-means, kind="stable")
    y = np.arange(len(names))
    ax.barh(
        y, means[order], 0.66, xerr=deviations[order], color=OKABE_ITO[0],
        error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3},
    )  # fmt: skip
    ax.set_yticks(y, [names[block] for block in order])
    ax.invert_yaxis()
    ax.axvline(0.0, color=INK, linewidth=0.8)
    ax.set_xlabel("score lost when the block is permuted")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax
