"""Plain and multi-scale encodings of places beside the same formulas in torch and in NumPy.

Each repetition draws points uniform on the sphere and runs, in turn and on the same points, ours,
the formulas as tensor code in the dtype of the points on as many threads, and a numpy fill of a
fresh array of the same size. The published library computes in NumPy, float64 whatever the dtype,
and casts the result; that peer, which has one thread, races ours on one thread. All get the same
(n, 2) table; only ours checks it and wraps longitude. Ratios are medians over the repetitions and
are printed only where the peer's numbers agree with ours.

The bound of a row is the larger of two times: the fill, and the sines and cosines that the
encoding cannot do without, at the rate of our kernel on numbers in the first cache level.

    python benchmarks/position_encodings.py [--rows 200000] [--repetitions 15]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch

from geofeat import CartesianEncoder, DirectEncoder, MultiScaleEncoder, WrapEncoder
from geofeat._threads import usable_threads
from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, load, store
from geofeat.kernels._sine import sine_and_cosine

KINDS = ("grid", "theory", "spherec", "spherec+", "spherem", "spherem+", "dfs")
N_FREQUENCIES = {"dfs": 4}
# BLAS and OpenMP threads spin for tens of milliseconds after their work.
REST_SECONDS = 0.1
PEER_TARGET, BOUND_TARGET = 5.0, 1.5
TOLERANCE = {"float64": 1e-12, "float32": 2e-3}


def columns(kind: str, u: Any, v: Any, scales: Any, xp: Any) -> list[Any]:
    """List the encoding's blocks, each (n, number of scales): the formulas as one would write them.

    Works for torch and NumPy. Every sine and cosine is taken once.
    """
    ui, vi = u[:, None] * scales, v[:, None] * scales
    if kind == "theory":
        axes = [
            u * math.cos(2 * math.pi / 3 * k) + v * math.sin(2 * math.pi / 3 * k) for k in range(3)
        ]
        phases = [a[:, None] * scales for a in axes]
        return [part for p in phases for part in (xp.sin(p), xp.cos(p))]
    sin_u, cos_u, sin_v, cos_v = xp.sin(ui), xp.cos(ui), xp.sin(vi), xp.cos(vi)
    if kind in {"grid", "dfs"}:
        return [sin_u, cos_u, sin_v, cos_v]
    parts = [sin_v] + ([cos_v, sin_u, cos_u] if kind.endswith("+") else [])
    if kind.startswith("spherec"):
        return [*parts, cos_v * cos_u, cos_v * sin_u]
    su, cu, cv = xp.sin(u)[:, None], xp.cos(u)[:, None], xp.cos(v)[:, None]
    return [*parts, cos_v * cu, cv * cos_u, cos_v * su, cv * sin_u]


def multiscale(kind: str, duplicate: bool, radians: bool, scales: np.ndarray, xp: Any) -> Callable:
    """Return the encoding as a function of a table of longitude and latitude."""

    def encode(X: Any) -> Any:
        lon, lat = X[:, 0], X[:, 1]
        factor = math.pi / 180 if radians else 1.0
        f = torch.from_numpy(scales).to(lon.dtype) if xp is torch else scales.astype(lon.dtype)
        parts = columns(kind, lon * factor, lat * factor, f, xp)
        n = lon.shape[0]
        if kind == "grid":
            halves = [xp.stack(parts[k : k + 2], -1).reshape(n, -1) for k in (0, 2)]
            return xp.concatenate(halves, 1)
        if kind == "dfs":
            east, north = (xp.stack(parts[k : k + 2], -1).reshape(n, -1) for k in (0, 2))
            products = (east[:, :, None] * north[:, None, :]).reshape(n, -1)
            return xp.concatenate([products, east, north], 1)
        if duplicate:
            parts = [part for part in parts for _ in range(2)]
        return xp.stack(parts, -1).reshape(n, -1)

    return encode


def plain(name: str, xp: Any) -> Callable:
    """Return one of the encodings without scales."""

    def encode(X: Any) -> Any:
        u, v = X[:, 0] * (math.pi / 180), X[:, 1] * (math.pi / 180)
        if name == "direct":
            return xp.stack([u, v], 1)
        sin_u, cos_u, sin_v, cos_v = xp.sin(u), xp.cos(u), xp.sin(v), xp.cos(v)
        if name == "wrap":
            return xp.stack([cos_u, sin_u, cos_v, sin_v], 1)
        return xp.stack([cos_v * cos_u, cos_v * sin_u, sin_v], 1)

    return encode


def encodings() -> list[tuple[str, Any, Callable, int]]:
    """Name, encoder, maker of the peer for a namespace, and pairs of sine and cosine a point."""
    rows: list[tuple[str, Any, Callable, int]] = [
        ("direct", DirectEncoder(), lambda xp: plain("direct", xp), 0),
        ("cartesian", CartesianEncoder(), lambda xp: plain("cartesian", xp), 2),
        ("wrap", WrapEncoder(), lambda xp: plain("wrap", xp), 2),
    ]
    for convention in ("sphere2vec", "locationencoder"):
        for kind in KINDS:
            n = N_FREQUENCIES.get(kind, 16)
            radians = convention == "sphere2vec"
            duplicate = kind.startswith("sphere") and not radians
            radii = (0.01, 1.0) if radians else (1.0, 360.0)
            scales = 1 / np.geomspace(*radii, n)
            encoder = MultiScaleEncoder(kind, n_frequencies=n, convention=convention)
            pairs = (3 if kind == "theory" else 2) * n + 2 * kind.startswith("spherem")
            rows.append(
                (
                    f"{kind} {convention}",
                    encoder,
                    lambda xp, k=kind, d=duplicate, r=radians, s=scales: multiscale(k, d, r, s, xp),
                    pairs,
                )
            )
    return rows


@njit()
def _pairs(x: Any, sines: Any, cosines: Any, times: Any) -> None:
    for _ in range(times):
        for i in range(0, x.shape[0], LANES):
            sine, cosine = sine_and_cosine(load(x, i))
            store(sines, i, sine)
            store(cosines, i, cosine)


def seconds_in_cache(run: Callable) -> float:
    """Time of one number on one thread, operands in the first cache level."""
    x = np.random.default_rng(0).uniform(-200, 200, 512)
    sines, cosines = np.empty_like(x), np.empty_like(x)
    run(x, sines, cosines, 1)
    samples = []
    for _ in range(21):
        start = time.perf_counter()
        run(x, sines, cosines, 1000)
        samples.append((time.perf_counter() - start) / (1000 * x.size))
    return statistics.median(samples)


def seconds_per_pair() -> float:
    """Time of one sine and its cosine."""
    return seconds_in_cache(_pairs)


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call after a rest, in which threads of the one before fall asleep."""
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    del result
    return seconds


def draw(rows: int, dtype: type, rng: np.random.Generator) -> np.ndarray:
    """Draw points uniform on the sphere, (lon, lat) in degrees."""
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
    return np.column_stack([rng.uniform(-180, 180, rows), lat]).astype(dtype)


def on_one_thread(run: Callable[[], Any]) -> Callable[[], Any]:
    """Let a call of ours use one thread."""

    def alone() -> Any:
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            return run()
        finally:
            numba.set_num_threads(threads)

    return alone


def race(encoder: Any, peer: Callable, dtype: type, rows: int, repetitions: int) -> dict[str, list]:
    """Seconds of every contestant, one entry a repetition, in an order that rotates."""
    rng = np.random.default_rng(0)
    in_torch, in_numpy = peer(torch), peer(np)
    width = len(encoder.get_feature_names_out())
    seconds: dict[str, list] = {}
    for repetition in range(-1, repetitions):
        X = draw(rows, dtype, rng)
        ours = lambda X=X: encoder.transform(X)  # noqa: E731
        calls = {
            "ours": ours,
            "torch": lambda X=X: in_torch(torch.from_numpy(X)),
            "fill": lambda: np.full((rows, width), 1.0, dtype=dtype),
            "ours, one thread": on_one_thread(ours),
            "numpy": lambda X=X: in_numpy(X.astype(np.float64)).astype(dtype, copy=False),
        }
        names = list(calls)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = timed(calls[name])
            if repetition >= 0:  # the first round warms up
                seconds.setdefault(name, []).append(elapsed)
    return seconds


def median_ratio(seconds: dict[str, list], left: str, right: str) -> float:
    """Median over the repetitions of one time over another."""
    return statistics.median(a / b for a, b in zip(seconds[left], seconds[right], strict=True))


def largest_difference(encoder: Any, peer: Callable, dtype: type) -> float:
    """Largest absolute difference to the peer in torch."""
    X = draw(1000, dtype, np.random.default_rng(9))
    return float(np.abs(encoder.transform(X) - peer(torch)(torch.from_numpy(X)).numpy()).max())


def main() -> None:
    """Print times, ratios and bounds of every encoding and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(usable_threads())
    pair = seconds_per_pair()
    print(f"numpy {np.__version__}, numba {numba.__version__}, torch {torch.__version__}")
    print(f"one sine with its cosine: {1e9 * pair:.2f} ns on one thread, in cache")
    print(f"{options.rows} points, {usable_threads()} threads, milliseconds, medians")
    print(
        f"{'encoding':26} dtype   columns   ours  torch   fill  torch/ours  "
        "numpy/ours (one thread)  ours/bound"
    )
    for name, encoder, peer, pairs in encodings():
        for dtype in (np.float64, np.float32):
            dtype_name = np.dtype(dtype).name
            difference = largest_difference(encoder, peer, dtype)
            seconds = race(encoder, peer, dtype, options.rows, options.repetitions)
            times = {key: statistics.median(values) for key, values in seconds.items()}
            sines = pairs * options.rows * pair / usable_threads()
            bound = "fill" if times["fill"] >= sines else "sines"
            to_bound = times["ours"] / max(times["fill"], sines)
            to_torch = median_ratio(seconds, "torch", "ours")
            to_numpy = median_ratio(seconds, "numpy", "ours, one thread")
            if difference <= TOLERANCE[dtype_name]:
                ratios = f"{to_torch:10.1f}{' !'[to_torch < PEER_TARGET]} {to_numpy:22.1f}"
            else:
                ratios = f"  differs by {difference:.1e}"
            print(
                f"{name:26} {dtype_name} {len(encoder.get_feature_names_out()):7d} "
                + "".join(f"{1e3 * times[key]:7.2f}" for key in ("ours", "torch", "fill"))
                + f" {ratios:>35} {to_bound:8.2f}{' !'[to_bound > BOUND_TARGET]} {bound}",
                flush=True,
            )
    print(
        f"targets: torch/ours >= {PEER_TARGET:g}, ours/bound <= {BOUND_TARGET:g}; '!' marks a miss"
    )


if __name__ == "__main__":
    main()
