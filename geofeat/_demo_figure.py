"""The demo's figure: where the plots lie, what AlphaEarth's format shows, what the scores are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import geopandas
    import pandas as pd

# Okabe and Ito's palette, told apart with any colour vision; most common species first.
_SPECIES_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
)
_RANDOM_COLOUR = "#B8C4CE"
_BLOCKS_COLOUR = "#0072B2"
_INK = "#22303C"
_GRID_METRES = 20.0
_SEAM_LON = 6.0


def require_matplotlib() -> None:
    """Raise an ImportError that says what to install when matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "The demo draws a figure with matplotlib, which is not installed: "
            "pip install 'geofeat[plot]'."
        ) from error


def draw_figure(
    path: Path,
    sample: Any,
    plots: geopandas.GeoDataFrame,
    species: np.ndarray,
    scores: pd.DataFrame,
) -> None:
    """Draw the three panels into a PNG file.

    Parameters
    ----------
    path : Path
        File to write.
    sample : Bunch
        From `geofeat.datasets.load_tree_species`.
    plots : GeoDataFrame
        The plots that were scored.
    species : ndarray of str, shape (n_plots,)
        Their species.
    scores : DataFrame
        The table of the demo.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": "#8895A0",
        "axes.linewidth": 0.8,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.titlelocation": "left",
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
    }
    with rc_context(style):
        figure = Figure(figsize=(13.6, 8.3), facecolor="white")
        grid = figure.add_gridspec(
            2, 2, width_ratios=[1.36, 1], left=0.052, right=0.985, bottom=0.07, top=0.855,
            wspace=0.31, hspace=0.34,
        )  # fmt: skip
        _draw_plots(figure.add_subplot(grid[0, 0]), plots, species, sample.target_names)
        _draw_embedding(figure.add_subplot(grid[1, 0]), sample)
        _draw_scores(figure.add_subplot(grid[:, 1]), scores)
        figure.text(
            0.012, 0.956, "Which features tell tree species apart?  SIMULATED landscape",
            size=17, weight="bold",
        )  # fmt: skip
        figure.text(
            0.012, 0.922,
            f"{len(species)} simulated plots of {len(np.unique(species))} species on both sides of "
            "a border of UTM zones. Nothing here was measured; only the file formats are real.",
            size=10.5, color="#55636F",
        )  # fmt: skip
        figure.savefig(path, dpi=160)


def _draw_plots(
    axes: Any, plots: geopandas.GeoDataFrame, species: np.ndarray, names: np.ndarray
) -> None:
    """Map of the plots, a colour a species."""
    lon, lat = plots.geometry.x.to_numpy(), plots.geometry.y.to_numpy()
    for name, colour in zip(names, _SPECIES_COLOURS, strict=True):
        own = species == name
        axes.scatter(
            lon[own], lat[own], s=9, color=colour, edgecolor=_INK, linewidth=0.15, label=name
        )
    axes.set_title("Plots (simulated)")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.085), frameon=False, fontsize=9, ncols=4,
        markerscale=2.0, handletextpad=0.0, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip
    _finish_map(axes, plots, "black")


def _draw_embedding(axes: Any, sample: Any) -> None:
    """Map of the embedding's three main components as red, green and blue."""
    from geofeat import AlphaEarthSource, EmbeddingRasterSampler
    from geofeat.plotting import plot_embedding

    bounds = sample.plots.total_bounds
    degrees_north = _GRID_METRES / 111_250.0
    resolution = (degrees_north / np.cos(np.radians(bounds[1])), degrees_north)
    source = AlphaEarthSource(sample.alphaearth)
    sampler = EmbeddingRasterSampler(source, year=sample.years[-1])
    plot_embedding(sampler, bounds=bounds, resolution=resolution, ax=axes)
    axes.set_title(f"AlphaEarth-format embedding of {sample.years[-1]}, PCA colours (simulated)")
    _finish_map(axes, sample.plots, "white")


def _finish_map(axes: Any, plots: geopandas.GeoDataFrame, seam_colour: str) -> None:
    """Axes in degrees, true to shape, with the border of the UTM zones."""
    west, south, east, north = plots.total_bounds
    axes.axvline(_SEAM_LON, color=seam_colour, linewidth=1.1, linestyle=(0, (4, 2)))
    for side, text in (("right", "UTM 31 "), ("left", " UTM 32")):
        axes.text(
            _SEAM_LON, 0.965, text, ha=side, va="top", size=8, color=_INK,
            transform=axes.get_xaxis_transform(), weight="bold", zorder=4,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.2},
        )  # fmt: skip
    axes.set_xlim(west - 0.001, east + 0.001)
    axes.set_ylim(south - 0.0006, north + 0.0006)
    axes.set_aspect(1 / np.cos(np.radians((south + north) / 2)))
    axes.xaxis.set_major_formatter("{x:.2f}°E")
    axes.yaxis.set_major_formatter("{x:.2f}°N")
    axes.locator_params(axis="x", nbins=8)
    axes.locator_params(axis="y", nbins=5)
    axes.tick_params(labelsize=8.5, length=3)


def _draw_scores(axes: Any, scores: pd.DataFrame) -> None:
    """Bars of accuracy: random folds above, spatial blocks below."""
    baseline = scores.iloc[0]
    shown = scores.iloc[1:]
    y = np.arange(len(shown))[::-1].astype(float)
    height = 0.36
    schemes = (
        ("random", "random folds", _RANDOM_COLOUR, height / 2),
        ("blocks", "spatial blocks", _BLOCKS_COLOUR, -height / 2),
    )
    for scheme, label, colour, shift in schemes:
        accuracy = shown[f"{scheme}_accuracy"].to_numpy()
        bars = axes.barh(y + shift, accuracy, height, color=colour, label=label)
        axes.bar_label(
            bars, labels=[f"{value:.2f}" for value in accuracy], padding=3, size=9,
            weight="bold" if scheme == "blocks" else "normal",
        )  # fmt: skip
    floor = baseline["blocks_accuracy"]
    axes.axvline(floor, color=_INK, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.text(
        floor, len(shown) - 0.44, str(baseline.name), ha="center", va="bottom", size=8.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip
    labels = [str(name).replace(" + TESSERA", "\n+ TESSERA") for name in shown.index]
    axes.set_yticks(y, labels)
    axes.set_ylim(-0.5, len(shown) - 0.1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy of the predicted species (simulated data)")
    axes.set_title("Random forest on each feature set")
    axes.legend(
        loc="upper right", frameon=False, fontsize=9.5, handlelength=1.2, handletextpad=0.5,
        borderaxespad=0.2,
    )  # fmt: skip
    axes.xaxis.grid(visible=True, color="#E3E8EC", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
