"""Columns of the multi-scale encodings: which sines and cosines, of what, in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from geofeat.kernels._fourier import ONE, cosine_term, sine_term

KINDS = ("grid", "theory", "spherec", "spherec+", "spherem", "spherem+", "dfs")
# Longitude, latitude, and the three directions of theory, 120 degrees apart.
_AXES = {
    "lon": (1.0, 0.0),
    "lat": (0.0, 1.0),
    "a0": (1.0, 0.0),
    "a1": (math.cos(2 * math.pi / 3), math.sin(2 * math.pi / 3)),
    "a2": (math.cos(4 * math.pi / 3), math.sin(4 * math.pi / 3)),
}


class Term(NamedTuple):
    """Sine or cosine of an axis at a scale; scale None is the axis itself."""

    function: str
    axis: str
    scale: int | None

    def __str__(self) -> str:
        scale = "" if self.scale is None else f"_{self.scale}"
        return f"{self.function}_{self.axis}{scale}"


class Columns(NamedTuple):
    """What `fourier_products` needs, and the names of the columns."""

    rates: np.ndarray
    factors: np.ndarray
    names: tuple[str, ...]


def frequencies(n: int, min_radius: float, max_radius: float) -> np.ndarray:
    """Geometric series from 1 / min_radius down to 1 / max_radius; the first alone for n = 1."""
    steps = np.arange(n) / max(n - 1, 1)
    return 1 / (min_radius * (max_radius / min_radius) ** steps)


@lru_cache(maxsize=32)
def multiscale_columns(
    kind: str, n: int, min_radius: float, max_radius: float, duplicate: bool, swap_odd: bool
) -> Columns:
    """Lay out one encoding.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    n : int
        Number of frequencies.
    min_radius, max_radius : float
        Inverse of the highest and the lowest frequency.
    duplicate : bool
        Write every column twice in a row.
    swap_odd : bool
        Swap sine and cosine from the middle of theory's columns on where ``n`` is odd.
    """
    columns = list(_products(kind, n))
    if kind == "theory" and swap_odd:
        functions = ("sin", "cos")
        columns = [
            (term._replace(function=functions[j % (3 * n) % 2]),)
            for j, (term, *_) in enumerate(columns)
        ]
    phases = list(dict.fromkeys((t.axis, t.scale) for column in columns for t in column))
    number = {phase: j for j, phase in enumerate(phases)}
    scales = frequencies(n, min_radius, max_radius)
    rates = np.array(
        [np.multiply(_AXES[axis], 1.0 if i is None else scales[i]) for axis, i in phases]
    )

    def term_number(term: Term) -> int:
        phase = number[term.axis, term.scale]
        return sine_term(phase) if term.function == "sin" else cosine_term(phase)

    factors = np.full((2, len(columns)), ONE)
    for c, column in enumerate(columns):
        factors[: len(column), c] = [term_number(term) for term in column]
    names = ["*".join(str(term) for term in column) for column in columns]
    if duplicate:
        factors, names = np.repeat(factors, 2, axis=1), [name for name in names for _ in range(2)]
    first = {name: c for c, name in reversed(list(enumerate(names)))}
    names = [name + "_copy" * (first[name] < c) for c, name in enumerate(names)]
    rates.flags.writeable = factors.flags.writeable = False
    return Columns(rates, factors, tuple(names))


def _products(kind: str, n: int) -> Iterator[tuple[Term, ...]]:
    """One or two terms a column."""
    if kind == "grid":
        for axis in ("lon", "lat"):
            for i in range(n):
                yield from (_single("sin", axis, i), _single("cos", axis, i))
    elif kind == "theory":
        for i in range(n):
            for axis in ("a0", "a1", "a2"):
                yield from (_single("sin", axis, i), _single("cos", axis, i))
    elif kind == "dfs":
        yield from _double_fourier(n)
    else:
        for i in range(n):
            yield from _spherical(kind, i)


def _single(function: str, axis: str, i: int | None) -> tuple[Term]:
    return (Term(function, axis, i),)


def _spherical(kind: str, i: int) -> Iterator[tuple[Term, ...]]:
    """Columns of scale i in the Sphere2Vec family; M keeps one factor at the scale of the globe."""
    yield _single("sin", "lat", i)
    if kind.endswith("+"):
        yield from (
            _single("cos", "lat", i),
            _single("sin", "lon", i),
            _single("cos", "lon", i),
        )
    for function in ("cos", "sin"):
        if kind.startswith("spherec"):
            yield Term("cos", "lat", i), Term(function, "lon", i)
        else:
            yield Term("cos", "lat", i), Term(function, "lon", None)
            yield Term("cos", "lat", None), Term(function, "lon", i)


def _double_fourier(n: int) -> Iterator[tuple[Term, ...]]:
    """Every longitude term times every latitude term, then each alone."""
    lon, lat = (
        [Term(function, axis, i) for i in range(n) for function in ("sin", "cos")]
        for axis in ("lon", "lat")
    )
    yield from ((east, north) for east in lon for north in lat)
    yield from ((term,) for term in lon + lat)
