"""The demo on few plots and small forests, and the command line."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, SphericalHarmonicsEncoder
from geofeat._demo import (
    BASELINE,
    EVERYTHING,
    FEATURE_SETS,
    PRODUCTS,
    SINGLE_SETS,
    conclusions,
    demo_forest,
    run_demo,
)
from geofeat.datasets import load_tree_species
from geofeat.evaluation import SpatialBlockKFold

N_PLOTS, N_TREES, N_SPLITS = 300, 10, 3


@pytest.fixture(scope="module")
def cached(sample_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFEAT_CACHE", str(sample_cache))
        yield


@pytest.fixture(scope="module")
def demo(cached, tmp_path_factory):
    """What the demo returned, its texts in the figure, its error stream and its folder."""
    output = tmp_path_factory.mktemp("demo") / "made by the demo"
    texts = []
    save = Figure.savefig

    def savefig(figure, *args, **kwargs):
        texts.extend(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
        save(figure, *args, **kwargs)

    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(stream):
        patch.setattr(Figure, "savefig", savefig)
        result = run_demo(output, n_plots=N_PLOTS, n_trees=N_TREES, n_splits=N_SPLITS)
    return result, texts, stream.getvalue(), output


def test_the_table_has_a_row_a_feature_set_and_both_kinds_of_folds(demo):
    scores = demo[0].scores
    assert list(scores.index) == [BASELINE, *FEATURE_SETS]
    metrics = ["accuracy", "accuracy_sd", "macro_f1"]
    expected = ["columns", *(f"{s}_{m}" for s in ("random", "blocks") for m in metrics)]
    assert list(scores.columns) == expected
    assert scores.notna().all(axis=None)
    assert scores.drop(columns="columns").to_numpy().min() >= 0
    assert scores.drop(columns="columns").to_numpy().max() <= 1
    counts = scores["columns"]
    # Spherical harmonics of degree 5; ten bands of 6 coefficients, 2 amplitudes and the rmse;
    # 64 and 128 dimensions of two years.
    assert counts[list(SINGLE_SETS)].tolist() == [36, 90, 128, 256]
    assert counts[EVERYTHING] == 36 + 90 + 128 + 256
    assert counts[PRODUCTS] == 90 + 128 + 256


def test_the_baseline_is_the_share_of_the_most_common_species(demo):
    species = load_tree_species().target[:N_PLOTS]
    share = np.unique(species, return_counts=True)[1].max() / N_PLOTS
    assert_allclose(demo[0].scores.loc[BASELINE, ["random_accuracy", "blocks_accuracy"]], share)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("location", lambda sample: SphericalHarmonicsEncoder(degree=5)),
        (
            "AlphaEarth",
            lambda sample: EmbeddingRasterSampler(
                AlphaEarthSource(sample.alphaearth), year=[2022, 2023]
            ),
        ),
    ],
)
def test_scores_equal_those_of_whole_pipelines_fitted_in_every_fold(demo, name, make):
    sample = load_tree_species()
    plots, species = sample.plots[["geometry"]].iloc[:N_PLOTS], sample.target[:N_PLOTS]
    schemes = {
        "random": StratifiedKFold(N_SPLITS, shuffle=True, random_state=0),
        "blocks": SpatialBlockKFold(N_SPLITS, block_size=1.2, shuffle=True, random_state=0),
    }
    pipeline = make_pipeline(make(sample), demo_forest(N_TREES))
    for scheme, folds in schemes.items():
        predicted = cross_val_predict(pipeline, plots, species, cv=folds)
        row = demo[0].scores.loc[name]
        assert row[f"{scheme}_accuracy"] == pytest.approx(accuracy_score(species, predicted))
        f1 = f1_score(species, predicted, average="macro")
        assert row[f"{scheme}_macro_f1"] == pytest.approx(f1)


def test_embeddings_and_series_beat_the_baseline_even_here(demo):
    scores = demo[0].scores["random_accuracy"]
    assert (scores[["harmonics", "AlphaEarth", "TESSERA", PRODUCTS]] > scores[BASELINE] + 0.1).all()


def test_it_writes_the_table_and_the_figure(demo):
    result, _, _, output = demo
    assert [path.name for path in result.files] == [
        "tree_species_simulated_scores.csv",
        "tree_species_simulated.png",
    ]
    assert sorted(result.files) == sorted(output.iterdir())
    table = pd.read_csv(result.files[0], index_col="features")
    assert_allclose(table, result.scores, atol=5e-5)
    content = result.files[1].read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 100_000


def test_report_and_figure_say_that_the_data_are_simulated(demo):
    result, texts, _, _ = demo
    assert result.report.count("SIMULATED") >= 3
    assert "SIMULATED" in result.report.splitlines()[0]
    assert any("SIMULATED" in text for text in texts)
    for name, row in result.scores.iterrows():
        line = next(line for line in result.report.splitlines() if line.startswith(f"{name:33}"))
        assert f"{row['random_accuracy']:.3f}" in line
        assert f"{row['blocks_macro_f1']:.3f}" in line
    words = " ".join(result.report.split())
    for sentence in conclusions(result.scores):
        assert sentence in words


def test_the_figure_shows_every_species_and_score(demo):
    result, texts, _, _ = demo
    assert set(load_tree_species().target_names) <= set(texts)
    for column in ("random_accuracy", "blocks_accuracy"):
        assert {f"{value:.2f}" for value in result.scores[column][1:]} <= set(texts)


def test_a_progress_bar_runs_on_the_error_stream(demo):
    assert "features" in demo[2]
    assert f"/{2 * N_SPLITS * (len(FEATURE_SETS) + 1) + 3}" in demo[2]


def made_up(**changes):
    """A table of scores in which all is 0.5 but for the named changes."""
    scores = pd.DataFrame(0.5, index=[BASELINE, *FEATURE_SETS], columns=["random_accuracy"])
    scores["blocks_accuracy"] = 0.5
    for column, values in changes.items():
        for name, value in values.items():
            scores.loc[name, column] = value
    return scores


def test_conclusions_follow_the_numbers():
    first, _, _, _ = conclusions(made_up(blocks_accuracy={"TESSERA": 0.625, BASELINE: 0.25}))
    assert "TESSERA does best" in first
    assert "62.5%" in first
    assert "25.0%" in first
    _, location, _, _ = conclusions(made_up(blocks_accuracy={"location": 0.4, "harmonics": 0.48}))
    assert "falls from 50.0% under random folds to 40.0%" in location
    assert "change by -2.0 to +0.0 points" in location
    _, location, _, _ = conclusions(made_up(blocks_accuracy={"location": 0.51}))
    assert "hardly matters" in location
    for union, words in ((0.6, "10.0 points more"), (0.4, "10.0 points fewer"), (0.505, "no more")):
        assert words in conclusions(made_up(blocks_accuracy={PRODUCTS: union}))[2]
    added = conclusions(made_up(random_accuracy={EVERYTHING: 0.55}))[3]
    assert "+5.0 points" in added
    assert "overstate" in added
    added = conclusions(
        made_up(blocks_accuracy={EVERYTHING: 0.45}, random_accuracy={EVERYTHING: 0.4})
    )
    assert "-10.0 points" in added[3]
    assert "overstate" not in added[3]
