"""Sine and cosine of eight float64 angles at once, in radians or degrees.

An angle is split into quarter turns and a rest within an eighth of a turn, whose sine and cosine
are polynomials. numpy takes ten times as long for float64.
"""

from __future__ import annotations

import math
from typing import Any

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import copysign, floor, multiply_add, splat

# Radians up to which `sine_and_cosine` keeps its accuracy: 2**20 quarter turns.
MAX_RADIANS = 1e6
# A quarter turn in three parts; 2**20 times the first two are exact (Cody and Waite 1980).
_QUARTER_1 = 1.57079632673412561417e00
_QUARTER_2 = 6.07710050630396597660e-11
_QUARTER_3 = 2.02226624879595063154e-21


@njit()
def _of_rest(rest: Any, single: Any) -> Any:
    """Sine, and cosine - 1, of radians within pi / 4: Taylor series that end below 1e-17.

    With ``single`` below 2e-9, a thirtieth of the last place of float32, in half the steps.
    """
    square = rest * rest
    if single:
        sine = splat(1 / 362880)
        below_one = splat(-1 / 3628800)
    else:
        sine = splat(-1 / 1307674368000)
        sine = multiply_add(sine, square, splat(1 / 6227020800))
        sine = multiply_add(sine, square, splat(-1 / 39916800))
        sine = multiply_add(sine, square, splat(1 / 362880))
        below_one = splat(1 / 20922789888000)
        below_one = multiply_add(below_one, square, splat(-1 / 87178291200))
        below_one = multiply_add(below_one, square, splat(1 / 479001600))
        below_one = multiply_add(below_one, square, splat(-1 / 3628800))
    sine = multiply_add(sine, square, splat(-1 / 5040))
    sine = multiply_add(sine, square, splat(1 / 120))
    sine = multiply_add(sine, square, splat(-1 / 6))
    sine = multiply_add(sine * square, rest, rest)
    below_one = multiply_add(below_one, square, splat(1 / 40320))
    below_one = multiply_add(below_one, square, splat(-1 / 720))
    below_one = multiply_add(below_one, square, splat(1 / 24))
    below_one = multiply_add(below_one, square, splat(-0.5)) * square
    return sine, below_one


@njit()
def _turned(turns: Any, sine: Any, cosine: Any) -> Any:
    """Sine and cosine after whole quarter turns, and 1 where their count is odd, else 0."""
    # Quarter turns 0, 1, 2, 3: sine is s, c, -s, -c and cosine c, -s, -c, s.
    half_turns = floor(turns * splat(0.5))
    odd = turns - half_turns - half_turns
    even = splat(1.0) - odd
    back = half_turns - splat(2.0) * floor(half_turns * splat(0.5))
    sign = splat(1.0) - back - back
    return (sine * even + cosine * odd) * sign, (cosine * even - sine * odd) * sign, odd


@njit()
def sine_and_cosine(radians: Any, single: Any = False) -> Any:
    """Sine and cosine of radians up to `MAX_RADIANS`, within 2 ulp of 1."""
    turns = floor(multiply_add(radians, splat(2 / math.pi), splat(0.5)))
    rest = multiply_add(turns, splat(-_QUARTER_1), radians)
    rest = multiply_add(turns, splat(-_QUARTER_2), rest)
    rest = multiply_add(turns, splat(-_QUARTER_3), rest)
    sine, below_one = _of_rest(rest, single)
    sine, cosine, _ = _turned(turns, sine, splat(1.0) + below_one)
    return sine, cosine


@njit()
def sine_and_cosine_of_degrees(degrees: Any, single: Any = False) -> Any:
    """Sine, cosine and 1 - abs(sine) of an angle in degrees.

    Exact at multiples of 90 degrees, else within 1.5 ulp; the last one too, however small it is.
    """
    turns = floor(multiply_add(degrees, splat(1 / 90), splat(0.5)))
    sine, below_one = _of_rest((degrees - turns * splat(90.0)) * splat(math.pi / 180), single)
    turned_sine, turned_cosine, odd = _turned(turns, sine, splat(1.0) + below_one)
    small = (splat(1.0) - odd) * (splat(1.0) - copysign(sine, splat(1.0))) - odd * below_one
    return turned_sine, turned_cosine, small
