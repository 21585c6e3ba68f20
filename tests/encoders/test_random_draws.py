"""Distributions from which random features are drawn, and kernels by distance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.gaussian_process.kernels import RBF, Matern, RationalQuadratic

from geofeat.encoders._random_draws import correlation, draw_axes, draw_frequencies

DISTANCES = np.concatenate([[0.0, 1e-12, 1e-5], np.geomspace(1e-3, 30, 60)])


@pytest.mark.parametrize(
    ("kernel", "nu", "oracle"),
    [
        ("rbf", 1.5, RBF()),
        ("cauchy", 1.5, RationalQuadratic(alpha=1.0, length_scale=np.sqrt(0.5))),
        ("matern", 0.3, Matern(nu=0.3)),
        ("matern", 0.5, Matern(nu=0.5)),
        ("matern", 1.5, Matern(nu=1.5)),
        ("matern", 2.5, Matern(nu=2.5)),
        ("matern", 7.0, Matern(nu=7.0)),
        ("laplace", 1.5, Matern(nu=0.5)),
    ],
)
def test_correlations_are_those_of_scikit_learn(kernel, nu, oracle):
    expected = oracle(DISTANCES[:, None], [[0.0]])[:, 0]
    # scikit-learn adds 1e-16 to a zero distance.
    atol = 1e-7 if nu == 0.3 else 1e-12
    assert_allclose(correlation(kernel, DISTANCES, nu), expected, rtol=0, atol=atol)


def test_a_very_smooth_matern_is_nearly_gaussian():
    values = correlation("matern", DISTANCES, 100.0)
    assert values[0] == 1
    assert np.all(np.diff(values) <= 0)
    assert_allclose(values, correlation("rbf", DISTANCES, 1.5), rtol=0, atol=4e-3)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("kernel", "scheme"),
    [(k, s) for k in ("rbf", "matern", "cauchy") for s in ("iid", "orthogonal", "qmc")]
    + [("laplace", "iid"), ("laplace", "qmc")],
)
def test_frequencies_have_the_spectral_density(kernel, scheme, dimensions):
    """The marginal of any direction: normal, Student t, Laplace or Cauchy."""
    marginal = {
        "rbf": stats.norm(),
        "matern": stats.t(3.0),
        "cauchy": stats.laplace(),
        "laplace": stats.cauchy(),
    }[kernel]
    rng = np.random.default_rng(8)
    frequencies = draw_frequencies(kernel, 4000, dimensions, nu=1.5, scheme=scheme, rng=rng)
    assert frequencies.shape == (4000, dimensions)
    for axis in range(dimensions):
        # 1.95 / sqrt(n) is exceeded by one independent sample in a thousand.
        assert stats.kstest(frequencies[:, axis], marginal.cdf).statistic < 1.95 / np.sqrt(4000)
    if dimensions > 1 and kernel != "laplace":
        slanted = frequencies.sum(axis=1) / np.sqrt(dimensions)
        assert stats.kstest(slanted, marginal.cdf).statistic < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize("scheme", ["orthogonal", "qmc"])
@pytest.mark.parametrize(
    ("dimensions", "cosine"), [(2, stats.arcsine(-1, 2)), (3, stats.uniform(-1, 2))]
)
def test_every_row_points_anywhere_over_many_draws(scheme, dimensions, cosine):
    """A row whose place in the order decided on its direction would bias the kernel."""
    draws = np.stack(
        [
            draw_frequencies(
                "rbf", 4, dimensions, nu=1.5, scheme=scheme, rng=np.random.default_rng(seed)
            )
            for seed in range(1000)
        ]
    )
    directions = draws / np.linalg.norm(draws, axis=2, keepdims=True)
    diagonal = np.stack([directions[..., 0] + directions[..., 1]]) / np.sqrt(2)
    for row in range(4):
        for projection in (*directions[:, row].T, diagonal[0, :, row]):
            assert stats.kstest(projection, cosine.cdf).statistic < 1.95 / np.sqrt(1000)


@pytest.mark.parametrize("dimensions", [2, 3, 7])
def test_orthogonal_frequencies_are_orthogonal_in_their_frames(dimensions):
    frequencies = draw_frequencies(
        "matern", 10 * dimensions + 1, dimensions, nu=1.5, scheme="orthogonal",
        rng=np.random.default_rng(2),
    )  # fmt: skip
    for first in range(0, 10 * dimensions, dimensions):
        frame = frequencies[first : first + dimensions]
        frame = frame / np.linalg.norm(frame, axis=1, keepdims=True)
        assert_allclose(frame @ frame.T, np.eye(dimensions), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scheme", ["orthogonal", "qmc"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_lengths_are_spread_evenly(scheme, dimensions):
    frequencies = draw_frequencies(
        "rbf", 100, dimensions, nu=1.5, scheme=scheme, rng=np.random.default_rng(2)
    )
    shares = stats.chi(dimensions).cdf(np.linalg.norm(frequencies, axis=1))
    assert np.array_equal(np.floor(shares * 100), np.arange(100))


@pytest.mark.parametrize("scheme", ["iid", "orthogonal", "qmc"])
def test_degrees_are_drawn_by_their_shares(scheme):
    shares = np.array([0.1, 0.0, 0.5, 0.25, 0.15])
    axes, degrees = draw_axes(shares, 20_000, scheme=scheme, rng=np.random.default_rng(3))
    counts = np.bincount(degrees, minlength=5) / 20_000
    assert counts[1] == 0
    assert_allclose(counts, shares, rtol=0, atol=0.015 if scheme == "iid" else 1e-4)
    assert np.all(np.diff(degrees) >= 0)
    assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=0, atol=1e-14)
    assert_allclose(axes.T @ axes / 20_000, np.eye(3) / 3, rtol=0, atol=0.015)


def test_tiny_smoothness_gives_huge_but_finite_frequencies():
    frequencies = draw_frequencies(
        "matern", 500, 2, nu=1e-3, scheme="iid", rng=np.random.default_rng(0)
    )
    assert np.isfinite(frequencies).all()
