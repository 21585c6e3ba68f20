"""Where random features come from: spectral densities, and ways to draw from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special
from scipy.optimize import elementwise
from scipy.stats import qmc

# Solutions of x**(k + 1) = x + 1. Multiples of 1/x, ..., 1/x**k, modulo 1, fill the unit cube of k
# dimensions evenly, however many there are; k = 1 is the golden ratio.
_GOLDEN = {1: 1.618033988749895, 2: 1.324717957244746, 3: 1.220744084605760}
# Dimensions in which directions are angles; beyond, they are normal vectors of length 1.
_ANGULAR_DIMENSIONS = 3
# Heavy tails end here, short of overflow.
_LARGEST = 1e100


def draw_frequencies(
    kernel: str, n: int, dimensions: int, *, nu: float, scheme: str, rng: np.random.Generator
) -> np.ndarray:
    """Frequencies from the spectral density of a kernel of length scale 1.

    Parameters
    ----------
    kernel : {"rbf", "laplace", "matern", "cauchy"}
        As in `correlation`.
    n : int
        How many.
    dimensions : int
        Length of each.
    nu : float
        Smoothness of "matern".
    scheme : {"iid", "orthogonal", "qmc"}
        Independent; in orthogonal frames, with one length from each n-th of their distribution;
        or spread evenly.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    frequencies : ndarray of shape (n, dimensions)
        Those of "orthogonal" and "qmc" stand in order of length, unless ``kernel="laplace"``.
    """
    if kernel == "laplace":
        cube = _cube(scheme, n, dimensions, rng)
        cube[:, 0] = (1 + cube[:, 0]) / 2  # w and -w are the same wave
        frequencies = np.tan(np.pi * (cube - 0.5))
    else:
        quantiles, directions = _draw_polar(scheme, n, dimensions, rng)
        frequencies = directions * _radius(kernel, quantiles, dimensions, nu, rng)[:, None]
    frequencies *= rng.choice([-1.0, 1.0], size=(n, 1))
    return np.clip(frequencies, -_LARGEST, _LARGEST)


def draw_axes(
    shares: np.ndarray, n: int, *, scheme: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Axes and degrees of random zonal functions of the sphere.

    Parameters
    ----------
    shares : ndarray of shape (highest degree + 1,)
        Probability of each degree.
    n : int
        How many.
    scheme : {"iid", "orthogonal", "qmc"}
        As in `draw_frequencies`; the degree takes the place of the length.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    axes : ndarray of shape (n, 3)
        Unit vectors. An axis and its opposite give the same function up to the sign.
    degrees : ndarray of shape (n,), int64
        Ascending.
    """
    quantiles, axes = _draw_polar(scheme, n, 3, rng)
    degrees = np.searchsorted(np.cumsum(shares[:-1]), quantiles, side="right")
    order = np.argsort(degrees, kind="stable")
    return axes[order], degrees[order].astype(np.int64)


def correlation(kernel: str, distance: Any, nu: float) -> np.ndarray:
    """Value of a kernel of length scale 1 at Euclidean distances ("laplace": Manhattan)."""
    if kernel == "rbf":
        return np.exp(-np.square(distance) / 2)
    if kernel == "laplace":
        return np.exp(-distance)
    if kernel == "cauchy":
        return 1 / (1 + np.square(distance))
    return _matern(np.sqrt(2 * nu) * distance, nu)


def _matern(t: Any, nu: float) -> np.ndarray:
    """2**(1 - nu) / Gamma(nu) t**nu K_nu(t), nu up to 100."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bessel = special.kve(nu, t)
        log = (1 - nu) * np.log(2) - special.gammaln(nu) + nu * np.log(t) + np.log(bessel) - t
    # Where K_nu overflows, two terms of the series are right to 1e-10.
    near = 1 - np.square(t) / (4 * max(nu - 1, 1))
    return np.where(np.isinf(bessel), near, np.exp(log))


def _radius(
    kernel: str, quantiles: np.ndarray, dimensions: int, nu: float, rng: np.random.Generator
) -> np.ndarray:
    """Quantiles of the length of a frequency."""
    if kernel == "rbf":
        return np.sqrt(2 * special.gammaincinv(dimensions / 2, quantiles))
    if kernel == "matern":  # multivariate Student t with 2 nu degrees of freedom
        return np.sqrt(dimensions * special.fdtri(dimensions, 2 * nu, quantiles))
    # "cauchy" is a mixture of Gaussian kernels, exponential in their inverse square length. The
    # lengths are beyond a value with the probability that the Matern function has there.
    if dimensions > _ANGULAR_DIMENSIONS:
        return np.sqrt(-2 * np.log1p(-quantiles) * rng.chisquare(dimensions, quantiles.size))
    solution = elementwise.find_root(
        lambda t, q: _matern(t, dimensions / 2) - (1 - q), (0.0, 1e3), args=(quantiles,)
    )
    return np.asarray(solution.x)


def _draw_polar(
    scheme: str, n: int, dimensions: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles of lengths, shape (n,), and directions, shape (n, dimensions)."""
    if scheme == "orthogonal":
        frames = _frames(-(-n // dimensions), dimensions, rng)
        # Any arm in any place: lengths ascend within a frame, so that a fixed order were a bias.
        frames = frames[:, rng.permutation(dimensions)]
        return _strata(n, rng), frames.reshape(-1, dimensions)[:n]
    angular = dimensions <= _ANGULAR_DIMENSIONS
    cube = _cube(scheme, n, dimensions if angular else dimensions + 1, rng)
    if angular:
        return cube[:, 0], _half_sphere(cube[:, 1:])
    normal = special.ndtri(cube[:, 1:])
    return cube[:, 0], normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _half_sphere(cube: np.ndarray) -> np.ndarray:
    """Map 0, 1 or 2 numbers a row to a direction, uniform but for its sign."""
    if cube.shape[1] == 0:
        return np.ones((cube.shape[0], 1))
    if cube.shape[1] == 1:
        angle = np.pi * cube[:, 0]
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    z, angle = cube[:, 0], 2 * np.pi * cube[:, 1]
    s = np.sqrt(1 - np.square(z))
    return np.stack([s * np.cos(angle), s * np.sin(angle), z], axis=1)


def _frames(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal frames, shape (n, dimensions, dimensions), evenly turned if they can be."""
    if dimensions == 2:
        angle = np.pi / 2 * _golden(n, 1, rng)[:, 0]
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)
    if dimensions == 3:
        return _turned_axes(_golden(n, 3, rng))
    frames, triangles = np.linalg.qr(rng.standard_normal((n, dimensions, dimensions)))
    signs = np.sign(np.diagonal(triangles, axis1=1, axis2=2))
    return np.asarray(frames * signs[:, None, :])


def _turned_axes(cube: np.ndarray) -> np.ndarray:
    """Frames of space, uniform where the three numbers a row are.

    The first arm lies anywhere on the northern half sphere, the others are turned about it.
    """
    z, turn, angle = cube[:, 0], np.pi / 2 * cube[:, 1:2], 2 * np.pi * cube[:, 2]
    c, s, flat = np.cos(angle), np.sin(angle), np.sqrt(1 - np.square(z))
    first = np.stack([flat * c, flat * s, z], axis=1)
    level = np.stack([-s, c, np.zeros_like(z)], axis=1)
    upright = np.stack([-z * c, -z * s, flat], axis=1)
    second = np.cos(turn) * level + np.sin(turn) * upright
    third = np.cos(turn) * upright - np.sin(turn) * level
    return np.stack([first, second, third], axis=1)


def _cube(scheme: str, n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Points of the unit cube, random or spread evenly."""
    if scheme == "iid":
        return rng.random((n, dimensions))
    if dimensions <= _ANGULAR_DIMENSIONS:
        return np.column_stack([_strata(n, rng), _golden(n, dimensions - 1, rng)])
    power = max(n - 1, 1).bit_length()
    # Multiples of 2**-30; half of that away from 0, whose normal quantile is infinite.
    return np.asarray(qmc.Sobol(dimensions, rng=rng).random_base2(power))[:n] + 2.0**-31


def _strata(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return one number from each n-th of the unit interval, ascending."""
    return (np.arange(n) + rng.random()) / n


def _golden(n: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Points that fill the unit cube evenly, shifted at random."""
    if dimensions == 0:
        return np.empty((n, 0))
    steps = _GOLDEN[dimensions] ** -np.arange(1.0, dimensions + 1)
    return (np.arange(n)[:, None] * steps + rng.random(dimensions)) % 1
