"""The main job on the simulated sample: which features tell tree species apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofeat._threads import usable_threads

if TYPE_CHECKING:
    import geopandas
    import pandas as pd

SINGLE_SETS = ("location", "harmonics", "AlphaEarth", "TESSERA")
PRODUCTS = "harmonics + AlphaEarth + TESSERA"
EVERYTHING = "all four"
BASELINE = "most common species"
# What each row of the table is made of.
FEATURE_SETS = {
    **{name: (name,) for name in SINGLE_SETS},
    "harmonics + AlphaEarth": ("harmonics", "AlphaEarth"),
    PRODUCTS: ("harmonics", "AlphaEarth", "TESSERA"),
    EVERYTHING: SINGLE_SETS,
}
BLOCK_KM = 1.2
SCORES_FILE = "tree_species_simulated_scores.csv"
FIGURE_FILE = "tree_species_simulated.png"
# Differences below one point of accuracy are called none.
_NOTABLE = 0.01


class DemoResult(NamedTuple):
    """What the demo found."""

    scores: pd.DataFrame
    report: str
    files: tuple[Path, ...]


def run_demo(
    output: Path,
    *,
    n_plots: int | None = None,
    n_trees: int = 32,
    n_splits: int = 5,
    progress: bool = True,
) -> DemoResult:
    """Fit random forests on every feature set of the SIMULATED sample and compare them.

    Parameters
    ----------
    output : Path
        Folder for the table (CSV) and the figure (PNG).
    n_plots : int, default=None
        Number of plots to use, None for all.
    n_trees : int, default=32
        Trees of a forest.
    n_splits : int, default=5
        Folds of each cross-validation.
    progress : bool, default=True
        Whether to show a progress bar on the error stream.

    Returns
    -------
    result : DemoResult
        The table, a report to print and the files written.

    Raises
    ------
    ImportError
        Before any work, when matplotlib is not installed.
    """
    from geofeat._demo_figure import draw_figure, require_matplotlib

    require_matplotlib()
    from sklearn.model_selection import StratifiedKFold
    from tqdm import tqdm

    from geofeat.datasets import load_tree_species
    from geofeat.evaluation import SpatialBlockKFold

    n_fits = 2 * n_splits * (len(FEATURE_SETS) + 1)
    output.mkdir(parents=True, exist_ok=True)
    with tqdm(total=n_fits + 3, disable=not progress, unit="step", leave=False) as bar:
        bar.set_description("simulated sample")
        sample = load_tree_species()
        plots = demo_table(sample).iloc[:n_plots]
        species = sample.target[:n_plots]
        bar.update()
        bar.set_description("features")
        features = demo_features(sample).fit_transform(plots)
        bar.update()
        random = StratifiedKFold(n_splits, shuffle=True, random_state=0)
        blocks = SpatialBlockKFold(n_splits, block_size=BLOCK_KM, shuffle=True, random_state=0)
        schemes = {
            "random": list(random.split(plots, species)),
            "blocks": list(blocks.split(plots)),
        }
        scores = _score_all(features, species, schemes, n_trees, bar)
        bar.set_description("figure")
        draw_figure(output / FIGURE_FILE, sample, plots, species, scores)
        bar.update()
    scores.to_csv(output / SCORES_FILE, float_format="%.4f")
    files = (output / SCORES_FILE, output / FIGURE_FILE)
    return DemoResult(scores, _report(scores, species, n_splits, n_trees, files), files)


def demo_table(sample: Any) -> geopandas.GeoDataFrame:
    """One row a plot: its point, and its series in columns, time-major."""
    import geopandas
    import pandas as pd

    series = sample.series.reshape(len(sample.series), -1)
    names = [f"{date}_{band}" for date in sample.times for band in sample.band_names]
    table = pd.DataFrame(series, columns=names, index=sample.plots.index)
    return geopandas.GeoDataFrame(table, geometry=sample.plots.geometry)


def demo_features(sample: Any) -> Any:
    """Return the ColumnTransformer that computes the four single feature sets side by side."""
    from sklearn.compose import ColumnTransformer

    from geofeat import (
        AlphaEarthSource,
        EmbeddingRasterSampler,
        HarmonicFeatures,
        SphericalHarmonicsEncoder,
        TesseraSource,
    )

    years = list(sample.years)
    series = [f"{date}_{band}" for date in sample.times for band in sample.band_names]
    harmonics = HarmonicFeatures(
        order=2,
        times=sample.times,
        n_bands=sample.band_names,
        outputs=("coefficients", "amplitude", "rmse"),
    )
    alphaearth = EmbeddingRasterSampler(AlphaEarthSource(sample.alphaearth), year=years)
    tessera = EmbeddingRasterSampler(TesseraSource(sample.tessera), year=years)
    return ColumnTransformer(
        [
            ("location", SphericalHarmonicsEncoder(degree=5), ["geometry"]),
            ("harmonics", harmonics, series),
            ("AlphaEarth", alphaearth, ["geometry"]),
            ("TESSERA", tessera, ["geometry"]),
        ]
    ).set_output(transform="pandas")


def demo_forest(n_trees: int) -> Any:
    """Return the classifier of every row of the table, unfitted."""
    from sklearn.ensemble import RandomForestClassifier

    # Trees grown to pure leaves vote in whole numbers, whose sum no order of threads can change.
    return RandomForestClassifier(n_trees, random_state=0, n_jobs=usable_threads())


def _score_all(
    features: pd.DataFrame,
    species: np.ndarray,
    schemes: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    n_trees: int,
    bar: Any,
) -> pd.DataFrame:
    """One row a feature set; the same folds and the same forest for all."""
    import pandas as pd
    from sklearn.dummy import DummyClassifier

    owner = features.columns.str.split("__").str[0]
    rows = {}
    for name, parts in {BASELINE: (), **FEATURE_SETS}.items():
        bar.set_description(name)
        columns = features.loc[:, owner.isin(parts)].to_numpy()
        model = demo_forest(n_trees) if parts else DummyClassifier(strategy="most_frequent")
        row: dict[str, float] = {"columns": columns.shape[1]}
        for scheme, folds in schemes.items():
            measured = _cross_validate(model, columns, species, folds, bar)
            row |= {f"{scheme}_{metric}": value for metric, value in measured.items()}
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"columns": int})
    return table.rename_axis("features")


def _cross_validate(
    model: Any,
    features: np.ndarray,
    species: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    bar: Any,
) -> dict[str, float]:
    """Scores of the predictions that each fold's model makes for the plots it has not seen.

    They are taken over all plots at once: a block may lack a rare species, and its F1 there would
    not be defined.
    """
    from sklearn.base import clone
    from sklearn.metrics import accuracy_score, f1_score

    predicted = np.empty_like(species)
    by_fold = []
    for train, test in folds:
        predicted[test] = clone(model).fit(features[train], species[train]).predict(features[test])
        by_fold.append(accuracy_score(species[test], predicted[test]))
        bar.update()
    return {
        "accuracy": accuracy_score(species, predicted),
        "accuracy_sd": float(np.std(by_fold, ddof=1)),
        "macro_f1": f1_score(species, predicted, average="macro", zero_division=0.0),
    }


def conclusions(scores: pd.DataFrame) -> list[str]:
    """Sentences that follow from a table of scores, whatever it holds.

    Parameters
    ----------
    scores : DataFrame
        As in `DemoResult`.

    Returns
    -------
    sentences : list of str
        Four sentences.
    """
    blocks, random = scores["blocks_accuracy"], scores["random_accuracy"]
    products = [name for name in SINGLE_SETS if name != "location"]
    best = blocks[list(SINGLE_SETS)].idxmax()
    on_best = (
        f"Of the single sets {best} does best on blocks never seen: {blocks[best]:.1%} of the "
        f"plots right, where naming the most common species gets {blocks[BASELINE]:.1%}."
    )
    return [
        on_best,
        _on_location(random, blocks, products),
        _on_union(blocks, products),
        _on_added_location(random, blocks),
    ]


def _on_location(random: pd.Series, blocks: pd.Series, products: list[str]) -> str:
    """Say what spatial blocks do to location, and to the products."""
    change = 100 * (blocks - random)
    others = f"{min(change[products]):+.1f} to {max(change[products]):+.1f} points"
    if change["location"] > -100 * _NOTABLE:
        return (
            f"Location alone scores {random['location']:.1%} under random folds and "
            f"{blocks['location']:.1%} on spatial blocks: the split hardly matters to it here; "
            f"harmonics and embeddings change by {others}."
        )
    return (
        f"Location alone falls from {random['location']:.1%} under random folds to "
        f"{blocks['location']:.1%} on spatial blocks, for random folds leave the neighbours of a "
        f"test plot among the training plots; harmonics and embeddings change by {others}."
    )


def _on_union(blocks: pd.Series, products: list[str]) -> str:
    """Compare the three products together with the best of them, on spatial blocks."""
    best = blocks[products].idxmax()
    gain = blocks[PRODUCTS] - blocks[best]
    together = f"Harmonics, AlphaEarth and TESSERA together reach {blocks[PRODUCTS]:.1%} on blocks"
    if abs(gain) < _NOTABLE:
        return f"{together}, no more than a point from {best}, the best of them alone."
    change = "more" if gain > 0 else "fewer"
    return f"{together}, {abs(gain) * 100:.1f} points {change} than {best}, the best of them alone."


def _on_added_location(random: pd.Series, blocks: pd.Series) -> str:
    """Say what location adds to the three products under each split."""
    gain_random, gain_blocks = (s[EVERYTHING] - s[PRODUCTS] for s in (random, blocks))
    sentence = (
        f"Adding location to the three changes accuracy by {gain_random * 100:+.1f} points under "
        f"random folds and by {gain_blocks * 100:+.1f} points on blocks"
    )
    if gain_random - gain_blocks >= _NOTABLE:
        return f"{sentence}: random folds overstate what it is worth in a new place."
    return f"{sentence}."


def _report(
    scores: pd.DataFrame, species: np.ndarray, n_splits: int, n_trees: int, files: Sequence[Path]
) -> str:
    """Everything the demo has to say, as text."""
    lines: list[str] = [
        "Tree species of SIMULATED plots: no number below says anything about a real forest.",
        "",
        (
            f"{len(species)} plots, {len(np.unique(species))} species, random forests of "
            f"{n_trees} trees. {n_splits} random folds against {n_splits} folds of whole blocks "
            f"of {BLOCK_KM:g} km. The features of a plot come from its own place and dates and "
            "read no label, so they are computed once, before the folds: no test plot leaks into "
            "training."
        ),
        "",
        *_table_lines(scores),
        "",
        "SIMULATED data. +- is the standard deviation of accuracy over the folds.",
        "",
        *(f"* {sentence}" for sentence in conclusions(scores)),
        "* All of this is SIMULATED: only the code and the file formats are those of real work.",
        "",
        *(f"written: {path}" for path in files),
    ]
    return "\n".join(_wrapped(line) for line in lines)


def _wrapped(line: str) -> str:
    """Break a paragraph for the terminal; lines of the table stay as they are."""
    indent = "  " if line.startswith("* ") else ""
    return "\n".join(textwrap.wrap(line, 88, subsequent_indent=indent)) if len(line) > 88 else line


def _table_lines(scores: pd.DataFrame) -> list[str]:
    """Lay the scores out in columns."""
    width = max(map(len, scores.index))
    head = f"{'':{width}}          random folds        spatial blocks"
    names = f"{'features':{width}} columns  accuracy  macro-F1    accuracy  macro-F1"
    lines = [head, names, "-" * len(names)]
    for name, row in scores.iterrows():
        cells = "   ".join(
            f"{row[f'{scheme}_accuracy']:.3f} +-{row[f'{scheme}_accuracy_sd']:.3f} "
            f"{row[f'{scheme}_macro_f1']:.3f}"
            for scheme in ("random", "blocks")
        )
        lines.append(f"{name:{width}} {int(row['columns']):7d}  {cells}")
    return lines
