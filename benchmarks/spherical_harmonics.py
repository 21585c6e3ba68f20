"""Spherical harmonics: SphericalHarmonicsEncoder beside sphericart, SciPy and published monomials.

Each repetition draws points uniform on the sphere and runs, in turn and on the same points, ours
(lon, lat in, a new array out), sphericart (unit vectors in: their computation is not charged to
it), a numpy fill of a fresh array of the same size, and our stream of blocks into one buffer.
Ratios are medians over the repetitions. A peer whose numbers are wrong gets "wrong", no ratio.

    python benchmarks/spherical_harmonics.py [--rows 100000] [--repetitions 15] [--degrees 9,39]
"""

import argparse
import importlib
import importlib.metadata
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

# sphericart's threads follow Numba's; OpenMP reads this once, when it is loaded.
if "NUMBA_NUM_THREADS" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"]

import numba
import numpy as np
from scipy.special import sph_harm_y_all

from geofeat import SphericalHarmonicsEncoder
from geofeat._threads import usable_threads

SUBSAMPLE = 200
# A value counts as wrong from here on; ours are held to the first figure of each dtype.
TOLERANCE = {"float64": (1e-12, 1e-9), "float32": (3e-7, 1e-4)}
REST_SECONDS = 0.02
FILL_TARGET, PEER_TARGET = 1.1, 1.0


def optional(name: str) -> Any:
    """Import a peer, or None with a line that says so."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        print(f"{name} cannot be imported ({error}): left out")
        return None


def draw(n: int, dtype: type, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw points uniform on the sphere: (lon, lat) in degrees and unit vectors of the same."""
    lonlat = np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )
    lonlat = lonlat.astype(dtype)
    lon, lat = np.radians(lonlat.astype(np.float64)).T
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return lonlat, xyz.astype(dtype)


def from_scipy(lonlat: np.ndarray, degree: int) -> np.ndarray:
    """Compute geodesists' harmonics from SciPy's complex ones."""
    lon, lat = np.radians(lonlat.astype(np.float64)).T
    complex_values = sph_harm_y_all(degree, degree, np.pi / 2 - lat, lon)
    l = np.repeat(np.arange(degree + 1), 2 * np.arange(degree + 1) + 1)
    m = np.arange((degree + 1) ** 2) - l * l - l
    scale = np.where(m == 0, 1.0, math.sqrt(2) * (-1.0) ** m)
    values = complex_values[l, np.abs(m)].T * scale
    return np.where(m < 0, values.imag, values.real)


def max_error(values: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference, infinite where a value is not finite."""
    if not np.isfinite(values).all():
        return math.inf
    return float(np.abs(values - expected).max())


def error_text(values: np.ndarray, expected: np.ndarray) -> str:
    """Write the maximum error, or the share of values that are not finite."""
    finite = np.isfinite(values)
    if finite.all():
        return f"{max_error(values, expected):.1e}"
    return f"NaN {100 * (1 - finite.mean()):.0f} %"


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call; its result is dropped after the clock stops.

    The rest before it is for OpenMP's threads, which spin for a while after their work and would
    take a core from whoever comes next.
    """
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    del result
    return seconds


def consume(chunks: Any) -> None:
    """Run through the blocks of a stream."""
    for _rows, _block in chunks:
        pass


def contestants(degree: int, lonlat: np.ndarray, xyz: np.ndarray, peer: Any) -> dict[str, Callable]:
    """List the calls of one row; ``peer`` is a sphericart calculator or None."""
    encoder = SphericalHarmonicsEncoder(degree, convention="geodesy")
    shape = (len(lonlat), (degree + 1) ** 2)
    calls: dict[str, Callable] = {
        "ours": lambda: encoder.transform(lonlat),
        "fill": lambda: np.full(shape, 1.0, dtype=lonlat.dtype),
        "stream": lambda: consume(encoder.transform_chunks(lonlat)),
    }
    if peer is not None:
        calls["sphericart"] = lambda: peer.compute(xyz)
    return calls


def race(degree: int, dtype: type, rows: int, repetitions: int, sphericart: Any) -> dict[str, list]:
    """Seconds of every contestant, one entry a repetition, in an order that rotates."""
    rng = np.random.default_rng([degree, np.dtype(dtype).itemsize])
    peer = sphericart.SphericalHarmonics(degree) if sphericart else None
    seconds: dict[str, list] = {}
    for repetition in range(-1, repetitions):
        calls = contestants(degree, *draw(rows, dtype, rng), peer)
        names = list(calls)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = timed(calls[name])
            if repetition >= 0:  # the first round warms up
                seconds.setdefault(name, []).append(elapsed)
    return seconds


def median_ratio(seconds: dict[str, list], other: str) -> float:
    """Median of ours / other over the repetitions."""
    pairs = zip(seconds["ours"], seconds[other], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def speed_table(degrees: list[int], rows: int, repetitions: int, sphericart: Any) -> None:
    """Print times, ratios and errors for every degree and dtype."""
    print(f"\n{rows} points, {usable_threads()} threads, milliseconds, medians of {repetitions}")
    print(
        "degree dtype      ours  stream    fill sphericart  ours/fill  ours/sphericart  "
        "error ours  error sphericart"
    )
    for degree in degrees:
        for dtype in (np.float64, np.float32):
            name = np.dtype(dtype).name
            lonlat, xyz = draw(SUBSAMPLE, dtype, np.random.default_rng(1))
            expected = from_scipy(lonlat, degree)
            ours = SphericalHarmonicsEncoder(degree, convention="geodesy").transform(lonlat)
            if max_error(ours, expected) > TOLERANCE[name][0]:
                raise SystemExit(f"ours is wrong at degree {degree}, {name}")
            seconds = race(degree, dtype, rows, repetitions, sphericart)
            times = {key: 1e3 * statistics.median(values) for key, values in seconds.items()}
            line = f"{degree:6d} {name}" + "".join(
                f" {times[key]:7.1f}" for key in ("ours", "stream", "fill")
            )
            to_fill = median_ratio(seconds, "fill")
            fill_mark = " " if to_fill <= FILL_TARGET else "!"
            peer_time, peer_ratio, peer_error = "-", "-", "-"
            if sphericart:
                theirs = sphericart.SphericalHarmonics(degree).compute(xyz)
                peer_error = error_text(theirs, expected)
                peer_time = f"{times['sphericart']:.1f}"
                peer_ratio = "wrong"
                if max_error(theirs, expected) <= TOLERANCE[name][1]:
                    ratio = median_ratio(seconds, "sphericart")
                    peer_ratio = f"{ratio:.2f}{' ' if ratio <= PEER_TARGET else '!'}"
            print(
                f"{line} {peer_time:>10} {to_fill:9.2f}{fill_mark} {peer_ratio:>16} "
                f"{error_text(ours, expected):>11} {peer_error:>17}",
                flush=True,
            )
    print(
        f"targets: ours/fill <= {FILL_TARGET}, ours/sphericart <= {PEER_TARGET}; '!' marks a miss"
    )


def drift_table(sphericart: Any) -> None:
    """Print the maximum error against SciPy as the degree grows."""
    print(f"\nmaximum error against scipy.special.sph_harm_y_all, {SUBSAMPLE} points")
    print("degree  ours float64  ours float32  sphericart float64  sphericart float32")
    for degree in (9, 14, 19, 29, 39, 63, 79, 89, 99, 149, 199):
        cells = []
        for dtype in (np.float64, np.float32):
            lonlat, _ = draw(SUBSAMPLE, dtype, np.random.default_rng(1))
            ours = SphericalHarmonicsEncoder(degree, convention="geodesy").transform(lonlat)
            cells.append(error_text(ours, from_scipy(lonlat, degree)))
        for dtype in (np.float64, np.float32):
            lonlat, xyz = draw(SUBSAMPLE, dtype, np.random.default_rng(1))
            if sphericart is None:
                cells.append("-")
                continue
            theirs = sphericart.SphericalHarmonics(degree).compute(xyz)
            cells.append(error_text(theirs, from_scipy(lonlat, degree)))
        print(f"{degree:6d} {cells[0]:>13} {cells[1]:>13} {cells[2]:>19} {cells[3]:>19}")


def published_monomials(degree: int, monomials: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Wrap rshf's table of polynomials, which takes lon, lat in degrees as a tensor."""
    import torch

    module = monomials.SphericalHarmonics(legendre_polys=degree + 1)
    return lambda lonlat: np.asarray(module(torch.from_numpy(lonlat)))


def slow_peers(degrees: list[int], rows: int, repetitions: int) -> None:
    """Print SciPy and the published monomials, which need far fewer points."""
    monomials = optional("rshf.satclip.spherical_harmonics")
    print(f"\n{rows} points, float64, milliseconds, medians of {repetitions}")
    print("degree peer               ours      peer  ours/peer  error of the peer")
    for degree in degrees:
        peers = {"scipy": (lambda x, d=degree: from_scipy(x, d), "geodesy")}
        if monomials is not None:
            peers["rshf monomials"] = (published_monomials(degree, monomials), "satclip")
        for name, (peer, convention) in peers.items():
            encoder = SphericalHarmonicsEncoder(degree, convention=convention)
            sample, _ = draw(SUBSAMPLE, np.float64, np.random.default_rng(1))
            expected = encoder.transform(sample)  # held to SciPy in the first table
            values = peer(sample)
            ours_seconds, peer_seconds = [], []
            for seed in range(repetitions):
                lonlat, _ = draw(rows, np.float64, np.random.default_rng(seed))
                ours_seconds.append(timed(lambda: encoder.transform(lonlat)))  # noqa: B023
                peer_seconds.append(timed(lambda: peer(lonlat)))  # noqa: B023
            right = max_error(values, expected) <= 1e-6
            pairs = zip(ours_seconds, peer_seconds, strict=True)
            ratio = f"{statistics.median(a / b for a, b in pairs):.4f}" if right else "wrong"
            print(
                f"{degree:6d} {name:15} {1e3 * statistics.median(ours_seconds):8.2f} "
                f"{1e3 * statistics.median(peer_seconds):9.1f} {ratio:>10} "
                f"{error_text(values, expected):>18}"
            )


def main() -> None:
    """Run all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--degrees", default="9,19,39,63")
    parser.add_argument("--tables", default="speed,drift,slow")
    options = parser.parse_args()
    degrees = [int(degree) for degree in options.degrees.split(",")]
    sphericart = optional("sphericart")
    version = importlib.metadata.version("sphericart") if sphericart else "absent"
    print(f"numpy {np.__version__}, numba {numba.__version__}, sphericart {version}")
    if "speed" in options.tables:
        speed_table(degrees, options.rows, options.repetitions, sphericart)
    if "drift" in options.tables:
        drift_table(sphericart)
    if "slow" in options.tables:
        slow_peers([d for d in degrees if d <= 39], 2_000, 3)


if __name__ == "__main__":
    main()
