"""Axes to draw on, and dots that suit their number."""

from __future__ import annotations

from typing import Any

import numpy as np

# Okabe and Ito's palette, told apart with any colour vision.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442")
QUIET = "#B4BFC8"
INK = "#22303C"


def axes_for(ax: Any, owner: str, figsize: tuple[float, float]) -> Any:
    """Return the given axes, or those of a new figure of pyplot."""
    if ax is None:
        try:
            from matplotlib import pyplot as plt
        except ImportError as error:
            raise ImportError(
                f"{owner} draws with matplotlib, which is not installed: "
                "pip install 'geofeat[plot]'."
            ) from error
        _, ax = plt.subplots(figsize=figsize, layout="compressed")
    elif not hasattr(ax, "imshow"):
        raise TypeError(f"{owner}: ax must be axes of matplotlib, got a {type(ax).__name__}.")
    return ax


def dot_size(n_points: int) -> float:
    """Area of a dot in square points: large where there are few."""
    return float(np.clip(20_000.0 / max(n_points, 1), 4.0, 36.0))


def dots(axes: Any, x: np.ndarray, y: np.ndarray, n_points: int, **kwargs: Any) -> Any:
    """Draw points; of many as pixels, so that a vector figure stays small."""
    style: dict[str, Any] = {
        "s": dot_size(n_points),
        "linewidths": 0,
        "rasterized": n_points > 5000,
    }
    return axes.scatter(x, y, **{**style, **kwargs})


def legend_beside(axes: Any, n_entries: int, title: str | None = None) -> None:
    """Draw the legend of `dots` to the right of the axes."""
    legend = axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False, fontsize=9,
        handletextpad=0.3, ncols=1 + (n_entries - 1) // 16, title=title, title_fontsize=9,
        alignment="left",
    )  # fmt: skip
    for handle in legend.legend_handles:
        handle.set_sizes([36.0])
