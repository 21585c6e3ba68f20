"""Encoding times, and places with times, beside what users write in NumPy, pandas and scikit-learn.

Each repetition draws dates of 1970 to 2020 (datetime64[ns]) and runs, in turn and on the same
dates: ours; the formulas in NumPy, float64; the recipe of a pandas accessor inside scikit-learn's
FunctionTransformer; and a numpy fill of a fresh array of the same size. The peers have one thread,
ours is also run on one. For places with times the peer is einsum of the encoded parts, without the
time to encode them, while ours includes it. Ratios are medians over the repetitions and are
printed only where the peer's numbers agree with ours.

The bound of a row is the larger of two times: the fill, and the sines and cosines that the
encoding cannot do without, at the rate of our kernel on numbers in the first cache level. Reading
dates and dividing them into years is not part of it.

    python benchmarks/time_encoding.py [--rows 1000000] [--repetitions 15]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pandas as pd
import sklearn
from position_encodings import median_ratio, on_one_thread, seconds_per_pair, timed
from sklearn.preprocessing import FunctionTransformer

from geofeat import FourierTimeEncoder, SpaceTimeEncoder, SphericalHarmonicsEncoder
from geofeat._threads import usable_threads

PEER_TARGET, BOUND_TARGET = 5.0, 1.5
TOLERANCE = 1e-9
SETTINGS = [
    (("year",), 1),
    (("year",), 3),
    (("year", "day"), 2),
    (("year", "week", "day"), 4),
]


def share(dates: np.ndarray, period: str) -> np.ndarray:
    """Elapsed share of a period of datetime64, as one would write it in NumPy."""
    if period == "year":
        start = dates.astype("datetime64[Y]")
        return (dates - start) / ((start + 1).astype(dates.dtype) - start.astype(dates.dtype))
    origin, length = (-3, 7) if period == "week" else (0, 1)
    days = dates.astype(np.int64) / 86_400_000_000_000
    return (days - origin) / length % 1.0


def in_numpy(dates: np.ndarray, periods: tuple[str, ...], n: int) -> np.ndarray:
    """Write sines and cosines of the shares."""
    columns = []
    for period in periods:
        turn = 2 * np.pi * share(dates[:, 0], period)
        for k in range(1, n + 1):
            columns += [np.sin(k * turn), np.cos(k * turn)]
    return np.stack(columns, axis=1)


def pandas_share(dates: Any, period: str) -> Any:
    """Elapsed share of a period by the accessors of pandas."""
    seconds = dates.dt.hour * 3600 + dates.dt.minute * 60 + dates.dt.second
    day = seconds / 86400
    if period == "day":
        return day
    if period == "week":
        return (dates.dt.day_of_week + day) / 7
    return (dates.dt.day_of_year - 1 + day) / np.where(dates.dt.is_leap_year, 366, 365)


def in_scikit_learn(periods: tuple[str, ...], n: int) -> Any:
    """Build the usual recipe: a function of a frame inside a FunctionTransformer."""

    def waves(frame: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for period in periods:
            turn = 2 * np.pi * pandas_share(frame["date"], period)
            for k in range(1, n + 1):
                columns[f"{period}_sin{k}"] = np.sin(k * turn)
                columns[f"{period}_cos{k}"] = np.cos(k * turn)
        return pd.DataFrame(columns)

    return FunctionTransformer(waves)


def draw_dates(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Whole seconds of fifty years."""
    return (rng.integers(0, 1_577_836_800, rows) * 10**9).view("datetime64[ns]")[:, np.newaxis]


def race(calls_of: Callable[[Any], dict[str, Callable]], draw: Callable, repetitions: int) -> dict:
    """Seconds of every contestant, one entry a repetition, in an order that rotates."""
    rng = np.random.default_rng(0)
    seconds: dict[str, list] = {}
    for repetition in range(-1, repetitions):
        calls = calls_of(draw(rng))
        names = list(calls)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            elapsed = timed(calls[name])
            if repetition >= 0:  # the first round warms up
                seconds.setdefault(name, []).append(elapsed)
    return seconds


def mark(value: float, missed: bool) -> str:
    """Format a ratio, with a sign where the target is missed."""
    return f"{value:8.1f}{' !'[missed]}"


def times_alone(rows: int, repetitions: int, pair: float) -> None:
    """Print the table of FourierTimeEncoder."""
    print(f"\n{rows} dates, {usable_threads()} threads, milliseconds, medians")
    print(
        f"{'periods':16} K columns   ours  numpy pandas   fill  numpy/ours pandas/ours  "
        "numpy/ours (one thread)  ours/bound"
    )
    for periods, n in SETTINGS:
        encoder = FourierTimeEncoder(periods, n_harmonics=n)
        recipe = in_scikit_learn(periods, n)
        width = len(encoder.get_feature_names_out())

        def calls_of(
            dates: np.ndarray, e=encoder, r=recipe, p=periods, k=n, w=width
        ) -> dict[str, Callable]:
            e.fit(dates[:1])
            frame = pd.DataFrame({"date": dates[:, 0]})
            return {
                "ours": lambda: e.transform(dates),
                "numpy": lambda: in_numpy(dates, p, k),
                "pandas": lambda: r.transform(frame),
                "fill": lambda: np.full((len(dates), w), 1.0),
                "ours, one thread": on_one_thread(lambda: e.transform(dates)),
            }

        sample = calls_of(draw_dates(1000, np.random.default_rng(9)))
        ours = sample["ours"]()
        wrong = max(np.abs(ours - np.asarray(sample[peer]())).max() for peer in ("numpy", "pandas"))
        seconds = race(calls_of, lambda rng: draw_dates(rows, rng), repetitions)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        sines = width / 2 * rows * pair / usable_threads()
        bound = "fill" if medians["fill"] >= sines else "sines"
        to_bound = medians["ours"] / max(medians["fill"], sines)
        ratios = f"differs by {wrong:.1e}"
        if wrong <= TOLERANCE:
            to_numpy, to_pandas = (median_ratio(seconds, p, "ours") for p in ("numpy", "pandas"))
            alone = median_ratio(seconds, "numpy", "ours, one thread")
            ratios = (
                mark(to_numpy, to_numpy < PEER_TARGET)
                + f"  {mark(to_pandas, to_pandas < PEER_TARGET)} {alone:22.1f}"
            )
        print(
            f"{'+'.join(periods):16} {n} {width:7d} "
            + "".join(f"{1e3 * medians[key]:7.2f}" for key in ("ours", "numpy", "pandas", "fill"))
            + f"  {ratios} {to_bound:10.2f}{' !'[to_bound > BOUND_TARGET]} {bound}",
            flush=True,
        )


def places_with_times(rows: int, repetitions: int) -> None:
    """Print the table of SpaceTimeEncoder."""
    print(f"\n{rows} places with times in days, {usable_threads()} threads, milliseconds, medians")
    print("degree columns   ours einsum  parts   fill  einsum/ours  (parts+einsum)/ours  ours/fill")

    def draw(rng: np.random.Generator) -> np.ndarray:
        lat = np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
        return np.column_stack([rng.uniform(-180, 180, rows), lat, rng.uniform(0, 2e4, rows)])

    for degree in (3, 5, 10, 20):
        encoder = SpaceTimeEncoder(SphericalHarmonicsEncoder(degree), combine="product")

        def calls_of(X: np.ndarray, e=encoder) -> dict[str, Callable]:
            e.fit(X[:2])
            places, times = X[:, :2], X[:, 2:]
            space, moment = e.space_.transform(places), e.time_.transform(times)
            width = space.shape[1] * moment.shape[1]
            return {
                "ours": lambda: e.transform(X),
                "einsum": lambda: np.einsum("na,nb->nab", space, moment).reshape(len(X), -1),
                "parts": lambda: (e.space_.transform(places), e.time_.transform(times)),
                "fill": lambda: np.full((len(X), width), 1.0),
            }

        sample = calls_of(draw(np.random.default_rng(9))[:1000])
        wrong = np.abs(sample["ours"]() - sample["einsum"]()).max()
        seconds = race(calls_of, draw, repetitions)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        both = statistics.median(
            (a + b) / c
            for a, b, c in zip(seconds["parts"], seconds["einsum"], seconds["ours"], strict=True)
        )
        ratios = f"differs by {wrong:.1e}"
        if wrong <= TOLERANCE:
            ratios = f"{median_ratio(seconds, 'einsum', 'ours'):11.1f} {both:20.1f}"
        to_fill = median_ratio(seconds, "ours", "fill")
        print(
            f"{degree:6d} {len(encoder.get_feature_names_out()):7d} "
            + "".join(f"{1e3 * medians[key]:7.1f}" for key in ("ours", "einsum", "parts", "fill"))
            + f"  {ratios} {to_fill:10.2f}{' !'[to_fill > BOUND_TARGET]}",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    started = time.perf_counter()
    pair = seconds_per_pair()
    print(
        f"numpy {np.__version__}, pandas {pd.__version__}, scikit-learn {sklearn.__version__}, "
        f"numba {numba.__version__}"
    )
    print(f"one sine with its cosine: {1e9 * pair:.2f} ns on one thread, in cache")
    times_alone(options.rows, options.repetitions, pair)
    places_with_times(options.rows // 10, options.repetitions)
    print(
        f"\ntargets: a peer's time over ours >= {PEER_TARGET:g}, ours/bound <= {BOUND_TARGET:g}; "
        f"'!' marks a miss. {time.perf_counter() - started:.0f} s in all."
    )


if __name__ == "__main__":
    main()
