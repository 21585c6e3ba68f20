"""Random Fourier features: error of the kernel, and time, beside scikit-learn and torch.

Error: mean absolute difference between the dot products of features and the exact kernel, over
pairs of fresh points and several draws, for every scheme, kernel and mapping. "gain" is the error
of independent draws (same kernel, mapping and number of columns) over that of the scheme.
scikit-learn's RBFSampler and Nystroem (fitted on 2000 other points) stand beside them for the
Gaussian kernel.

Time: each repetition draws points and runs, in turn, ours, the formula as tensor code on as many
threads and in the same dtype, scikit-learn's RBFSampler.transform (columns of cosines only), a
numpy fill of a fresh array and our stream of blocks into one buffer. The bound is the larger of
the fill and of the sines or cosines at the rate of our kernel on numbers in the first cache level.

    python benchmarks/random_features.py [--rows 100000] [--repetitions 11] [--draws 10]
"""

import argparse
import math
import statistics
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from position_encodings import seconds_in_cache, seconds_per_pair, timed
from sklearn.kernel_approximation import Nystroem, RBFSampler

from geofeat import RandomFourierFeatures
from geofeat._threads import usable_threads
from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, load, store
from geofeat.kernels._random_fourier import _cosine

PEER_TARGET, BOUND_TARGET, GAIN_TARGET = 5.0, 1.5, 2.0
TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def box(width: float, dimensions: int) -> Callable:
    """Return a source of points in a cube, its side in length scales."""
    return lambda n, rng: rng.uniform(0, width, (n, dimensions))


def globe(n: int, rng: np.random.Generator) -> np.ndarray:
    """Points uniform on the sphere, (lon, lat) in degrees."""
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return np.column_stack([rng.uniform(-180, 180, n), lat])


def settings_of_errors() -> list[tuple[str, Callable, dict[str, Any]]]:
    """Name, source of points and parameters of every kernel whose error is printed."""
    rows: list[tuple[str, Callable, dict[str, Any]]] = []
    for kernel, nu in (("rbf", 1.5), ("matern", 1.5), ("matern", 0.5), ("cauchy", 1.5)):
        name = f"{kernel} {nu}" if kernel == "matern" else kernel
        for width, dimensions in ((4, 1), (4, 2), (20, 2), (4, 3), (1.5, 8)):
            rows.append(
                (f"{name}, {dimensions}-D box {width:g}", box(width, dimensions),
                 {"kernel": kernel, "nu": nu})
            )  # fmt: skip
        rows += [
            (f"{name}, sphere, {km:g} km", globe, {"kernel": kernel, "nu": nu, "space": "sphere",
                                                   "length_scale": km})
            for km in (1000.0, 3000.0)
        ]  # fmt: skip
    rows.append(("laplace, 2-D box 4", box(4, 2), {"kernel": "laplace"}))
    for kernel in ("sphere-matern", "sphere-heat"):
        rows += [
            (f"{kernel}, {km:g} km", globe, {"kernel": kernel, "space": "sphere",
                                             "length_scale": km})
            for km in (1000.0, 3000.0)
        ]  # fmt: skip
    return rows


def error_of(make: Callable[[int], Any], exact: Any, draw: Callable, draws: int) -> float:
    """Mean absolute error over pairs of 200 fresh points and over draws of the features."""
    errors = []
    for seed in range(draws):
        rng = np.random.default_rng(1000 + seed)
        model = make(seed).fit(draw(2000, rng))
        X = draw(200, rng)
        features = model.transform(X)
        off = ~np.eye(len(X), dtype=bool)
        errors.append(np.abs(features @ features.T - exact.fit(X).kernel_(X))[off].mean())
    return float(np.mean(errors))


def print_errors(n_components: int, draws: int) -> None:
    """Print the error of every scheme, and how many times smaller than independent draws."""
    print(f"\nmean error of the kernel, {n_components} columns; gain over iid in brackets")
    print(f"{'kernel and points':32} {'mapping':8} {'iid':>8}      orthogonal            qmc")
    for name, draw, parameters in settings_of_errors():
        for mapping in ("cos", "cos-sin"):
            if mapping != "cos" and parameters["kernel"].startswith("sphere"):
                continue
            line, independent = "", math.nan
            for scheme in ("iid", "orthogonal", "qmc"):
                if parameters["kernel"] == "laplace" and scheme == "orthogonal":
                    line += " " * 20
                    continue
                make = lambda seed, s=scheme, m=mapping, p=parameters: RandomFourierFeatures(  # noqa: E731
                    n_components, scheme=s, mapping=m, random_state=seed, **p
                )
                error = error_of(make, make(0), draw, draws)
                if scheme == "iid":
                    independent = error
                    line += f"{error:8.5f}"
                else:
                    gain = independent / error
                    line += f"{error:12.5f} ({gain:5.2f}){' !'[gain < GAIN_TARGET]}"
            print(f"{name:32} {mapping:8} {line}", flush=True)
    for width, dimensions in ((4, 2), (4, 3)):
        draw = box(width, dimensions)
        for peer in (RBFSampler, Nystroem):
            error = error_of(
                lambda seed, k=peer: k(gamma=0.5, n_components=n_components, random_state=seed),
                RandomFourierFeatures(2),
                draw,
                draws,
            )
            print(f"rbf, {dimensions}-D box {width}: scikit-learn {peer.__name__:10} {error:.5f}")


@njit()
def _cosines(x: Any, sines: Any, cosines: Any, times: Any) -> None:
    for _ in range(times):
        for i in range(0, x.shape[0], LANES):
            store(cosines, i, _cosine(load(x, i), False))


def in_torch(waves: RandomFourierFeatures, dtype: type) -> Callable:
    """Return the formula as one would write it for tensors."""
    W = torch.from_numpy(waves.weights_.astype(dtype))
    if waves.mapping == "cos":
        b = torch.from_numpy(waves.phases_.astype(dtype))
        return lambda X: math.sqrt(2 / b.shape[0]) * torch.cos(X @ W.T + b)

    def encode(X: Any) -> Any:
        phase = 2 * math.pi * X @ W.T
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)

    return encode


def race(waves: Any, dimensions: int, dtype: type, rows: int, repetitions: int) -> dict[str, list]:
    """Seconds of every contestant, one entry a repetition, in an order that rotates."""
    rng = np.random.default_rng(0)
    tensor_code = in_torch(waves, dtype)
    sampler = RBFSampler(n_components=waves.n_components, random_state=0).fit(
        np.zeros((1, dimensions), dtype=dtype)
    )
    seconds: dict[str, list] = {}
    for repetition in range(-1, repetitions):
        X = rng.uniform(0, 4, (rows, dimensions)).astype(dtype)
        calls = {
            "ours": lambda X=X: waves.transform(X),
            "torch": lambda X=X: tensor_code(torch.from_numpy(X)),
            "stream": lambda X=X: sum(len(block) for _, block in waves.transform_chunks(X)),
            "fill": lambda: np.full((rows, waves.n_components), 1.0, dtype=dtype),
        }
        if waves.mapping == "cos":
            calls["RBFSampler"] = lambda X=X: sampler.transform(X)
        names = list(calls)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = timed(calls[name])
            if repetition >= 0:  # the first round warms up
                seconds.setdefault(name, []).append(elapsed)
    return seconds


def print_times(rows: int, repetitions: int) -> None:
    """Print times, ratios and bounds for two mappings, widths and dtypes."""
    cosine, pair = seconds_in_cache(_cosines), seconds_per_pair()
    print(f"\none cosine {1e9 * cosine:.2f} ns, one sine with its cosine {1e9 * pair:.2f} ns")
    print(f"{rows} points, {usable_threads()} threads, milliseconds, medians")
    print(
        "mapping  dim columns dtype      ours stream  torch   fill  RBFSampler  torch/ours"
        "  torch/stream  RBFSampler/ours  ours/bound"
    )
    for mapping, dimensions, width in (
        ("cos", 2, 512),
        ("tancik", 2, 512),
        ("cos", 3, 128),
        ("tancik", 3, 128),
        ("cos", 16, 512),
    ):
        waves = RandomFourierFeatures(width, mapping=mapping, random_state=0)
        waves.fit(np.zeros((1, dimensions)))
        for dtype in (np.float64, np.float32):
            name = np.dtype(dtype).name
            X = np.random.default_rng(9).uniform(0, 4, (1000, dimensions)).astype(dtype)
            peer = in_torch(waves, dtype)(torch.from_numpy(X)).numpy()
            difference = float(np.abs(waves.transform(X) - peer).max())
            seconds = race(waves, dimensions, dtype, rows, repetitions)
            ms = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
            each = cosine if mapping == "cos" else pair / 2
            sines = 1e3 * each * rows * width / usable_threads()
            bound = "fill" if ms["fill"] >= sines else "sines"
            ratio = lambda a, b, s=seconds: statistics.median(  # noqa: E731
                x / y for x, y in zip(s[a], s[b], strict=True)
            )
            to_torch = ratio("torch", "ours")
            to_bound = ms["ours"] / max(ms["fill"], sines)
            sampler = ms.get("RBFSampler", math.nan)
            to_sampler = ratio("RBFSampler", "ours") if "RBFSampler" in seconds else math.nan
            peers = (
                f"{to_torch:9.1f}{' !'[to_torch < PEER_TARGET]} {ratio('torch', 'stream'):12.1f}"
                if difference <= TOLERANCE[name]
                else f"  differs by {difference:.1e}"
            )
            print(
                f"{mapping:8} {dimensions:3d} {width:7d} {name} "
                + "".join(f"{ms[key]:7.1f}" for key in ("ours", "stream", "torch", "fill"))
                + f" {sampler:10.1f} {peers:>24} {to_sampler:15.1f} {to_bound:9.2f}"
                + f"{' !'[to_bound > BOUND_TARGET]} {bound}",
                flush=True,
            )


def main() -> None:
    """Print errors, then times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=11)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--columns", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    print(f"numpy {np.__version__}, numba {numba.__version__}, torch {torch.__version__}")
    print_times(options.rows, options.repetitions)
    print_errors(options.columns, options.draws)
    print(
        f"targets: gain >= {GAIN_TARGET:g}, torch/ours >= {PEER_TARGET:g}, "
        f"ours/bound <= {BOUND_TARGET:g}; '!' marks a miss"
    )


if __name__ == "__main__":
    main()
