"""Harmonic regression of gappy series: HarmonicFeatures beside lstsq, batched NumPy and nrt.

Microseconds a series (and band) for T = 73 dates in two years and 6 coefficients. Every repetition
draws fresh series; ours and a peer run in turn on the same ones and the median of the ratios is
printed. Peers whose coefficients differ from lstsq's get no ratio. The one-by-one peers see a part
of the rows only, their time is per series all the same.

    python benchmarks/harmonic_features.py [--rows 1000000] [--repetitions 5] [--only one,bands]
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numba
import numpy as np

from geofeat import HarmonicFeatures
from geofeat._threads import run_slabs, usable_threads
from geofeat.kernels._jit import njit

TIMES = np.arange("2020-01-01", "2022-01-01", 10, dtype="datetime64[D]")[:73]
DAYS = TIMES.astype(float)
MID = (DAYS[0] + DAYS[-1]) / 2
P = 6
TARGET_US, TARGET_BANDS_US = 0.6, 0.25
LOOP_ROWS, BATCH_ROWS, NRT_ROWS = 2_000, 50_000, 50_000
TOLERANCE = 1e-10
N_BANDS = 10


def design() -> np.ndarray:
    """Columns 1, years since the middle, cos and sin of two orders, shape (73, 6)."""
    columns = [np.ones_like(DAYS), (DAYS - MID) / 365.25]
    for k in (1, 2):
        angle = 2 * np.pi * k * DAYS / 365.25
        columns += [np.cos(angle), np.sin(angle)]
    return np.stack(columns, axis=1)


A = design()


def series(n: int, missing: float, seed: int, bands: int = 1) -> np.ndarray:
    """Seasonal series with random gaps that all bands of a row share, (n, 73 * bands)."""
    rng = np.random.default_rng(seed)
    shape = (n, DAYS.size, bands) if bands > 1 else (n, DAYS.size)
    values = rng.standard_normal(shape)
    if missing:
        values[rng.random((n, DAYS.size), dtype=np.float32) < missing] = np.nan
    return values.reshape(n, -1)


# Peers: each takes (n, 73) and returns coefficients of shape (n, 6) -------------------------------


def lstsq_loop(y: np.ndarray) -> np.ndarray:
    """Call numpy.linalg.lstsq for every series."""
    out = np.empty((len(y), P))
    for row, b in zip(y, out, strict=True):
        seen = np.isfinite(row)
        b[:] = np.linalg.lstsq(A[seen], row[seen], rcond=None)[0]
    return out


def batched_numpy(y: np.ndarray) -> np.ndarray:
    """Masked Gram matrices by one matrix product, then a batched solve."""
    upper = np.triu_indices(P)
    seen = np.isfinite(y)
    packed = seen.astype(float) @ (A[:, upper[0]] * A[:, upper[1]])
    gram = np.empty((len(y), P, P))
    gram[:, upper[0], upper[1]] = packed
    gram[:, upper[1], upper[0]] = packed
    rhs = np.where(seen, y, 0.0) @ A
    return np.linalg.solve(gram, rhs[:, :, None])[:, :, 0]


def nrt_ols() -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the fit of nrt to NaN-holding columns, None where nrt is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nrt.fit_methods import ols
    except ImportError:
        return None
    return lambda y: ols(A, np.ascontiguousarray(y.T))[0].T


# Ours and the bound -----------------------------------------------------------------------------


@njit(fastmath={"reassoc"})
def _sum(values: np.ndarray) -> float:
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


def read_once(values: np.ndarray) -> None:
    """Read the data once on the same threads: no fit can take less."""
    flat = values.reshape(-1)
    run_slabs(lambda start, stop: _sum(flat[start:stop]), flat.size, 2**17)


def seconds(function: Callable[..., object], *args: object) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def report(label: str, us: list[float], note: str = "") -> float:
    """Print the median of microseconds a series and its least."""
    median = statistics.median(us)
    print(f"  {label:<46}{median:9.3f} us   (least {min(us):7.3f})  {note}")
    return median


def verdict(median: float, target: float) -> str:
    """Word on a target."""
    return f"target {target} us: {'met' if median <= target else 'MISSED'}"


def time_ours(
    label: str, features: HarmonicFeatures, tables: list[np.ndarray], n_series: int
) -> list[float]:
    """Microseconds a series of the public transform, after a warm-up."""
    features.transform(tables[0][:64])
    us = [seconds(features.transform, table) / n_series * 1e6 for table in tables]
    report(label, us)
    return us


def peers(repetitions: int) -> None:
    """Ours beside each peer in turn, on the same fresh series, half of the values missing."""
    print(f"\nBeside the peers (half missing, {P} coefficients)")
    ours = HarmonicFeatures(times=TIMES, outputs=("coefficients",))
    candidates = {
        f"numpy lstsq in a loop ({LOOP_ROWS} rows)": (lstsq_loop, LOOP_ROWS),
        f"batched numpy ({BATCH_ROWS} rows)": (batched_numpy, BATCH_ROWS),
        f"nrt.fit_methods.ols ({NRT_ROWS} rows)": (nrt_ols(), NRT_ROWS),
    }
    for label, (peer, rows) in candidates.items():
        if peer is None:
            print(f"  {label:<46}  not installed")
            continue
        ours_rows = max(rows, BATCH_ROWS)  # ours is too quick to time on a few rows
        ratios, us, ours_us, peer_error, our_error = [], [], [], 0.0, 0.0
        for repetition in range(repetitions + 1):
            y = series(ours_rows, 0.5, 100 + repetition)
            mine = seconds(ours.transform, y) / ours_rows
            theirs = seconds(peer, y[:rows]) / rows
            truth = lstsq_loop(y[:500])
            peer_error = max(peer_error, float(np.abs(peer(y[:500]) - truth).max()))
            our_error = max(our_error, float(np.abs(ours.transform(y[:500]) - truth).max()))
            if repetition:  # the first one warms up
                ratios.append(theirs / mine)
                us.append(theirs * 1e6)
                ours_us.append(mine * 1e6)
        if peer_error > TOLERANCE:
            print(f"  {label:<46}  differs from lstsq by {peer_error:.1e}: no ratio")
            continue
        report(label, us, f"max error {peer_error:.0e}")
        report("  HarmonicFeatures, the same series", ours_us, f"max error {our_error:.0e}")
        print(f"    {statistics.median(ratios):.1f} times our time")


def one_band(rows: int, repetitions: int) -> None:
    """One band, at full size: half missing, outputs, no gaps, times of each row."""
    print(f"\nOne band, {rows} series, half missing")
    for dtype in (np.float64, np.float32):
        us, bound = [], []
        features = HarmonicFeatures(times=TIMES, outputs=("coefficients",))
        features.transform(series(64, 0.5, 0).astype(dtype))
        for repetition in range(repetitions):
            y = series(rows, 0.5, repetition).astype(dtype)
            us.append(seconds(features.transform, y) / rows * 1e6)
            bound.append(seconds(read_once, y) / rows * 1e6)
        median = report(f"coefficients, {np.dtype(dtype).name}", us)
        print(f"    {verdict(median, TARGET_US)}")
        report("  bound: reading the data once", bound)
    part = min(rows, 200_000)
    tables = [series(part, 0.5, repetition) for repetition in range(repetitions)]
    print(f"\nOther settings, {part} series, half missing, float64")
    settings = {
        "coefficients": {"outputs": ("coefficients",)},
        "default outputs (amplitude, phase, rmse too)": {},
        "ridge": {"outputs": ("coefficients",), "ridge": 0.1},
        "Huber, ten rounds": {"outputs": ("coefficients",), "robust": "huber"},
        "order 3, 8 coefficients": {"order": 3, "outputs": ("coefficients",)},
    }
    for label, parameters in settings.items():
        time_ours(label, HarmonicFeatures(**{"times": TIMES, **parameters}), tables, part)
    days = np.tile(DAYS, (part, 1))
    own = [np.concatenate([days + 0.25 * i, table], axis=1) for i, table in enumerate(tables)]
    features = HarmonicFeatures(times="row", outputs=("coefficients",))
    time_ours("times of each row", features, own, part)
    whole = [series(part, 0.0, repetition) for repetition in range(repetitions)]
    features = HarmonicFeatures(times=TIMES, outputs=("coefficients",))
    time_ours("no gaps", features, whole, part)
    error = np.abs(features.transform(whole[0][:500]) - lstsq_loop(whole[0][:500])).max()
    print(f"    max error without gaps {error:.0e}")


def several_bands(rows: int, repetitions: int) -> None:
    """Ten bands that share their gaps, per series and band."""
    print(f"\n{N_BANDS} bands with the same gaps, {rows} rows, per series and band")
    features = HarmonicFeatures(times=TIMES, n_bands=N_BANDS, outputs=("coefficients",))
    features.transform(series(64, 0.5, 0, N_BANDS))
    us, bound = [], []
    for repetition in range(repetitions):
        y = series(rows, 0.5, repetition, N_BANDS)
        us.append(seconds(features.transform, y) / (rows * N_BANDS) * 1e6)
        bound.append(seconds(read_once, y) / (rows * N_BANDS) * 1e6)
    median = report("coefficients, float64", us)
    print(f"    {verdict(median, TARGET_BANDS_US)}")
    report("  bound: reading the data once", bound)
    found = features.transform(y[:50]).reshape(50, N_BANDS, P)
    bands = y[:50].reshape(50, DAYS.size, N_BANDS)
    error = max(np.abs(found[:, b] - lstsq_loop(bands[:, :, b])).max() for b in range(N_BANDS))
    print(f"    max error against lstsq {error:.0e}")


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="one,bands,peers")
    arguments = parser.parse_args()
    print(f"{usable_threads()} threads, numba {numba.__version__}, numpy {np.__version__}")
    wanted = arguments.only.split(",")
    if "one" in wanted:
        one_band(arguments.rows, arguments.repetitions)
    if "bands" in wanted:
        several_bands(max(1, arguments.rows // N_BANDS), arguments.repetitions)
    if "peers" in wanted:
        peers(arguments.repetitions)


if __name__ == "__main__":
    main()
