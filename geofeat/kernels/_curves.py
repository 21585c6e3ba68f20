"""Polynomials and triangle waves, several of each variable, as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.kernels._jit import njit


def legendre_steps(n: int) -> np.ndarray:
    """Return the steps of the Legendre polynomials of degree 1 to n."""
    k = np.arange(1, n + 1)
    return np.stack([(2 * k - 1) / k, np.zeros(n), (1 - k) / k])


def monomial_steps(n: int) -> np.ndarray:
    """Return the steps of the powers 1 to n."""
    return np.stack([np.ones(n), np.zeros(n), np.zeros(n)])


def copy_steps(n: int) -> np.ndarray:
    """Return the steps of n times the variable itself."""
    first = np.arange(n) == 0
    return np.stack([first, ~first, np.zeros(n)]).astype(np.float64)


def polynomials(
    variables: tuple[Any, ...],
    steps: np.ndarray,
    xp: Any,
    *,
    constant: bool,
    out: np.ndarray | None = None,
) -> Any:
    """Polynomials of each variable by a recursion of two terms; a NaN makes its row NaN.

    With ``p(0) = 1`` and ``p(-1) = 0`` column k of a variable x is, for k = 1 .. n_steps,
    ``p(k) = (steps[0, k-1] * x + steps[1, k-1]) * p(k-1) + steps[2, k-1] * p(k-2)``.

    Parameters
    ----------
    variables : tuple of arrays of shape (n,), float64
        In namespace ``xp``.
    steps : ndarray of shape (3, n_steps), float64
        From `legendre_steps`, `monomial_steps` or `copy_steps`.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    constant : bool
        Whether a column of ones stands before the others.
    out : ndarray of shape (n, constant + len(variables) * n_steps), optional
        Filled and returned. NumPy only.

    Returns
    -------
    columns : array of shape (n, constant + len(variables) * n_steps)
        All columns of the first variable, then of the second.
    """
    if xp is not np:
        return _polynomials_array_api(variables, steps, xp, constant)
    if out is None:
        out = np.empty((variables[0].shape[0], constant + len(variables) * steps.shape[1]))
    _polynomials_cpu(np.stack(variables), steps, int(constant), out)
    return out


def triangle_waves(
    fractions: tuple[Any, ...],
    n_waves: int,
    xp: Any,
    *,
    constant: bool,
    out: np.ndarray | None = None,
) -> Any:
    """Straight lines between the zeros and extremes of sines and cosines; NaN as in `polynomials`.

    Parameters
    ----------
    fractions : tuple of arrays of shape (n,), float64
        Shares of a cycle, in namespace ``xp``.
    n_waves : int
        Each fraction gives waves of 1 .. n_waves periods a cycle, that of the sine before that of
        the cosine.
    xp, constant, out
        As in `polynomials`.

    Returns
    -------
    columns : array of shape (n, constant + 2 * len(fractions) * n_waves)
        All columns of the first fraction, then of the second.
    """
    if xp is not np:
        return _triangle_waves_array_api(fractions, n_waves, xp, constant)
    if out is None:
        out = np.empty((fractions[0].shape[0], constant + 2 * len(fractions) * n_waves))
    _triangle_waves_cpu(np.stack(fractions), n_waves, int(constant), out)
    return out


@njit()
def _polynomials_cpu(variables: Any, steps: Any, constant: Any, out: Any) -> None:
    n_steps = steps.shape[1]
    for i in range(out.shape[0]):
        missing = 0.0  # or NaN
        for j in range(variables.shape[0]):
            missing += 0.0 * variables[j, i]
        if constant:
            out[i, 0] = 1.0 + missing
        for j in range(variables.shape[0]):
            x = variables[j, i] + missing
            before, now = 0.0, 1.0
            for k in range(n_steps):
                factor = steps[0, k] * x + steps[1, k]
                before, now = now, factor * now + steps[2, k] * before
                out[i, constant + j * n_steps + k] = now


@njit()
def _triangle_waves_cpu(fractions: Any, n_waves: Any, constant: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        missing = 0.0  # or NaN
        for j in range(fractions.shape[0]):
            missing += 0.0 * fractions[j, i]
        if constant:
            out[i, 0] = 1.0 + missing
        for j in range(fractions.shape[0]):
            for k in range(n_waves):
                cycles = (k + 1) * (fractions[j, i] + missing)
                column = constant + 2 * (j * n_waves + k)
                late = cycles - 0.25
                out[i, column] = 4.0 * abs(late - np.floor(late) - 0.5) - 1.0
                out[i, column + 1] = 4.0 * abs(cycles - np.floor(cycles) - 0.5) - 1.0


def _polynomials_array_api(
    variables: tuple[Any, ...], steps: np.ndarray, xp: Any, constant: bool
) -> Any:
    missing = 0 * sum(variables[1:], start=variables[0])
    columns = [1 + missing] if constant else []
    for variable in variables:
        before, now = 0.0 * missing, 1 + missing
        for slope, level, back in steps.T.tolist():
            before, now = now, (slope * variable + level) * now + back * before
            columns.append(now)
    return xp.stack(columns, axis=1)


def _triangle_waves_array_api(
    fractions: tuple[Any, ...], n_waves: int, xp: Any, constant: bool
) -> Any:
    missing = 0 * sum(fractions[1:], start=fractions[0])
    columns = [1 + missing] if constant else []
    for fraction in fractions:
        for k in range(1, n_waves + 1):
            cycles = k * (fraction + missing)
            columns += [
                4 * xp.abs(shifted - xp.floor(shifted) - 0.5) - 1
                for shifted in (cycles - 0.25, cycles)
            ]
    return xp.stack(columns, axis=1)
