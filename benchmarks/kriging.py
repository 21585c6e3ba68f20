"""Kriging of air temperature: harmonics with a spectrum and ridge, beside a Gaussian process.

The rival is scikit-learn's GaussianProcessRegressor with a Matern kernel on unit vectors. Both
choose smoothness and length scale on the training part alone: the regressor by its optimiser of
the marginal likelihood, once for each smoothness, the harmonics by generalised cross-validation
over a grid, at a degree of at most 39. The second table of each kind of splits takes the chosen
hyper-parameters as given, so that one fit is timed against one fit. Then come a prediction of the
whole Earth, and simulated fields with more and more points.

Reads air_temperature_stations.csv from the folder that GEOFEAT_TEST_DATA names; without it only
the simulated fields are run.

    python benchmarks/kriging.py [--degrees 39,79,119] [--grid 100000]
"""

import argparse
import os
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from real_data import on_vectors, read_stations
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from geofeat import SphericalHarmonicsEncoder
from geofeat._threads import usable_threads
from geofeat.evaluation import SpatialBlockKFold
from geofeat.exceptions import SpectrumWarning

SMOOTHNESS = (0.5, 1.5)
LENGTH_SCALES = (1000.0, 3000.0, 9000.0)
ALPHAS = np.logspace(-3, 0, 7)
TUNING_DEGREE = 39
# R2 that differ by less count as equal: a fifth of what five halvings differ by among themselves.
EQUAL = 0.001
PROCESS = "Gaussian process"


def matern_ridge(degree: int, nu: float, length_scale: float, ridge: Any) -> Any:
    """Pipeline of a Matern field's columns and a ridge."""
    encoder = SphericalHarmonicsEncoder(degree, spectrum="matern", nu=nu, length_scale=length_scale)
    return make_pipeline(encoder, ridge)


def harmonics(degree: int) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Fit by smoothness, length scale and alpha with the best generalised cross-validation."""

    def fit(X: np.ndarray, y: np.ndarray) -> Any:
        models = (
            matern_ridge(min(degree, TUNING_DEGREE), nu, scale, RidgeCV(ALPHAS)).fit(X, y)
            for nu in SMOOTHNESS
            for scale in LENGTH_SCALES
        )
        best = max(models, key=lambda model: model[-1].best_score_)
        if degree <= TUNING_DEGREE:
            return best
        return matern_ridge(degree, best[0].nu, best[0].length_scale, RidgeCV(ALPHAS)).fit(X, y)

    return fit


def process(X: np.ndarray, y: np.ndarray) -> Any:
    """Fit by smoothness, length scale, variance and noise of the best marginal likelihood."""
    models = (
        on_vectors(
            GaussianProcessRegressor(
                ConstantKernel(1.0) * Matern(0.3, nu=nu) + WhiteKernel(0.05), normalize_y=True
            )
        ).fit(X, y)
        for nu in SMOOTHNESS
    )
    return max(models, key=lambda model: model[-1].log_marginal_likelihood_value_)


def with_fixed_parameters(model: Any) -> Any:
    """Unfitted model with the hyper-parameters that the fitted one has found."""
    first, last = model[0], model[-1]
    if isinstance(last, RidgeCV):
        return make_pipeline(first, Ridge(last.alpha_))
    regressor = GaussianProcessRegressor(last.kernel_, normalize_y=True, optimizer=None)
    return make_pipeline(first, regressor)


def chosen(model: Any) -> str:
    """Write the hyper-parameters of a fitted model."""
    if isinstance(model[-1], RidgeCV):
        return f"nu {model[0].nu}, {model[0].length_scale:g} km, alpha {model[-1].alpha_:.4f}"
    return str(model[-1].kernel_)


def random_halves(X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Five halvings, as in real_data.py."""
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(X))
        yield order[: len(X) // 2], order[len(X) // 2 :]


class Run(NamedTuple):
    """What one model did on one split."""

    predicted: np.ndarray
    fit_seconds: float
    predict_seconds: float
    model: Any


def run(fit: Callable[[np.ndarray, np.ndarray], Any], X: Any, y: Any, train: Any, test: Any) -> Run:
    """Fit, predict, and take both times."""
    start = time.perf_counter()
    model = fit(X[train], y[train])
    middle = time.perf_counter()
    predicted = model.predict(X[test])
    return Run(predicted, middle - start, time.perf_counter() - middle, model)


def report(runs: dict[str, list[Run]], observed: list[np.ndarray], *, pooled: bool) -> None:
    """Print scores, median seconds, and median ratios of the process's seconds to ours."""
    print("                            R2    RMSE K   fit s  predict s   GP/ours fit  GP/ours both")
    scores = {}
    for name, own in runs.items():
        parts = [(y, r.predicted) for y, r in zip(observed, own, strict=True)]
        if pooled:
            parts = [tuple(np.concatenate(side) for side in zip(*parts, strict=True))]
        scores[name] = statistics.mean(r2_score(y, p) for y, p in parts)
        rmse = statistics.mean(float(np.sqrt(np.mean((y - p) ** 2))) for y, p in parts)
        fit_seconds = statistics.median(r.fit_seconds for r in own)
        predict_seconds = statistics.median(r.predict_seconds for r in own)
        pairs = list(zip(runs[PROCESS], own, strict=True))
        fit_ratio = statistics.median(a.fit_seconds / b.fit_seconds for a, b in pairs)
        both_ratio = statistics.median(sum(a[1:3]) / sum(b[1:3]) for a, b in pairs)
        behind = scores[PROCESS] - scores[name]
        verdict = "" if name == PROCESS or abs(behind) <= EQUAL else f"  R2 {-behind:+.4f}"
        print(
            f"{name:24} {scores[name]:7.4f} {rmse:8.3f} {fit_seconds:8.3f} {predict_seconds:9.4f} "
            f"{fit_ratio:12.1f} {both_ratio:13.1f}{verdict}",
            flush=True,
        )


def compare(X: Any, y: Any, splits: list, degrees: list[int], *, pooled: bool) -> dict[str, Any]:
    """Print both tables of one kind of splits; the models tuned on the last split."""
    kinds = {PROCESS: process}
    kinds |= {f"harmonics to degree {degree}": harmonics(degree) for degree in degrees}
    observed = [y[test] for _, test in splits]
    tuned: dict[str, list[Run]] = {name: [] for name in kinds}
    fixed: dict[str, list[Run]] = {name: [] for name in kinds}
    for train, test in splits:
        for name, fit in kinds.items():
            tuned[name].append(run(fit, X, y, train, test))
        for name in kinds:
            model = with_fixed_parameters(tuned[name][-1].model)
            fixed[name].append(run(model.fit, X, y, train, test))
    print("hyper-parameters chosen on the training part:")
    report(tuned, observed, pooled=pooled)
    print("the same hyper-parameters, given:")
    report(fixed, observed, pooled=pooled)
    for name, own in tuned.items():
        print(f"  {name}, last split: {chosen(own[-1].model)}")
    return {name: own[-1].model for name, own in tuned.items()}


def predict_in_blocks(model: Any, X: np.ndarray) -> np.ndarray:
    """Predict without holding the columns of all rows, or all covariances, at once."""
    if isinstance(model[-1], RidgeCV):
        blocks = model[0].transform_chunks(X)
        return np.concatenate([model[-1].predict(block) for _, block in blocks])
    parts = np.array_split(X, max(1, len(X) // 2000))
    return np.concatenate([model.predict(part) for part in parts])


def predict_grid(models: dict[str, Any], n: int, repetitions: int = 3) -> None:
    """Print time and peak memory of predicting points all over the Earth, in blocks."""
    rng = np.random.default_rng(0)
    grid = np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )
    print(f"\npredicting {n} points in blocks, medians of {repetitions}")
    print("                          seconds  GP/ours  peak MB")
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repetitions):
        for name, model in models.items():
            start = time.perf_counter()
            predict_in_blocks(model, grid)
            seconds[name].append(time.perf_counter() - start)
    for name, model in models.items():
        tracemalloc.start()  # NumPy's arrays are counted
        predict_in_blocks(model, grid)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        pairs = zip(seconds[PROCESS], seconds[name], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        print(f"{name:24} {statistics.median(seconds[name]):8.3f} {ratio:8.1f} {peak / 1e6:8.0f}")


def stations(folder: Path, degrees: list[int], grid: int) -> None:
    """Print the tables of real stations."""
    X, y = read_stations(folder)
    print(f"\n{len(y)} stations: five random halves, means")
    models = compare(X, y, list(random_halves(X)), degrees, pooled=False)
    print(f"\n{len(y)} stations: five folds of SpatialBlockKFold(1000 km), pooled")
    folds = list(SpatialBlockKFold(5, block_size=1000.0).split(X))
    compare(X, y, folds, degrees, pooled=True)
    predict_grid(models, grid)


def grow(sizes: tuple[int, ...], degree: int = 39, noise: float = 0.09) -> None:
    """Print fits of known covariance to simulated fields, as the number of points grows."""
    nu, length_scale = 1.5, 2500.0
    print(f"\nsimulated Matern fields, nu {nu}, {length_scale:g} km, variance 1, noise {noise}")
    print(
        "  points          R2 GP / ours      fit s GP / ours   predict s GP / ours   GP/ours both"
    )
    for n in sizes:
        rng = np.random.default_rng(n)
        sphere = np.degrees(np.arcsin(rng.uniform(-1, 1, 2 * n)))
        X = np.column_stack([rng.uniform(-180, 180, 2 * n), sphere])
        # A field of more degrees than the fitted ones, so that truncation costs what it costs.
        source = SphericalHarmonicsEncoder(99, spectrum="matern", nu=nu, length_scale=length_scale)
        weights = rng.normal(size=100**2)
        field = np.concatenate([block @ weights for _, block in source.transform_chunks(X)])
        y = field + rng.normal(0, np.sqrt(noise), 2 * n)
        train, test = np.arange(n), np.arange(n, 2 * n)
        kernel = Matern(length_scale / 6371.0088, nu=nu)
        rival = on_vectors(GaussianProcessRegressor(kernel, alpha=noise, optimizer=None))
        theirs = run(rival.fit, X, y, train, test)
        ours = run(matern_ridge(degree, nu, length_scale, Ridge(noise)).fit, X, y, train, test)
        scores = [r2_score(field[test], r.predicted) for r in (theirs, ours)]
        print(
            f"{n:8d} {scores[0]:12.4f} / {scores[1]:.4f} {theirs.fit_seconds:10.2f} / "
            f"{ours.fit_seconds:5.2f} {theirs.predict_seconds:14.2f} / "
            f"{ours.predict_seconds:5.2f} {sum(theirs[1:3]) / sum(ours[1:3]):14.1f}",
            flush=True,
        )


def main() -> None:
    """Run all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--degrees", default="39,79,119")
    parser.add_argument("--grid", type=int, default=100_000)
    options = parser.parse_args()
    # The grid of length scales is there to be searched, its short end included.
    warnings.simplefilter("ignore", SpectrumWarning)
    # The optimiser may take the noise to its lower bound, which is as good as no noise.
    warnings.simplefilter("ignore", ConvergenceWarning)
    degrees = [int(degree) for degree in options.degrees.split(",")]
    warm_up = np.random.default_rng(0).uniform(-80, 80, (100, 2))
    harmonics(5)(warm_up, warm_up[:, 0]).predict(warm_up)  # compiles
    print(f"{usable_threads()} threads")
    folder = os.environ.get("GEOFEAT_TEST_DATA")
    if folder:
        stations(Path(folder), degrees, options.grid)
    else:
        print("GEOFEAT_TEST_DATA is not set: no stations; see benchmarks/README.md")
    grow((1500, 3000, 6000, 12_000))


if __name__ == "__main__":
    main()
