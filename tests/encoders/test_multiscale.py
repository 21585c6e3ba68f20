"""MultiScaleEncoder against the published library, and against its formulas written plainly."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import CartesianEncoder, MultiScaleEncoder

KINDS = ["grid", "theory", "spherec", "spherec+", "spherem", "spherem+", "dfs"]
SPHERE_KINDS = [kind for kind in KINDS if kind.startswith("sphere")]
WIDTH = {"grid": 4, "theory": 6, "spherec": 3, "spherec+": 6, "spherem": 5, "spherem+": 8}


def frequencies(n, min_radius, max_radius):
    if n == 1:
        return np.array([1 / min_radius])
    return 1 / np.geomspace(min_radius, max_radius, n)


def plain(kind, u, v, scales):
    """The papers' columns, for coordinates in whatever unit."""
    sin, cos = np.sin, np.cos
    if kind == "grid":
        return [function(f * c) for c in (u, v) for f in scales for function in (sin, cos)]
    if kind == "theory":
        directions = 2 * np.pi / 3 * np.arange(3)
        axes = [u * cos(a) + v * sin(a) for a in directions]
        return [function(f * a) for f in scales for a in axes for function in (sin, cos)]
    if kind == "dfs":
        east = [function(f * u) for f in scales for function in (sin, cos)]
        north = [function(f * v) for f in scales for function in (sin, cos)]
        return [e * n for e in east for n in north] + east + north
    columns = []
    for f in scales:
        ui, vi = f * u, f * v
        columns.append(sin(vi))
        if kind.endswith("+"):
            columns += [cos(vi), sin(ui), cos(ui)]
        if kind.startswith("spherec"):
            columns += [cos(vi) * cos(ui), cos(vi) * sin(ui)]
        else:
            columns += [cos(vi) * cos(u), cos(v) * cos(ui), cos(vi) * sin(u), cos(v) * sin(ui)]
    return columns


@pytest.mark.parametrize("setting", [0, 1], ids=["even", "odd"])
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_columns_equal_the_published_ones(golden, kind, setting):
    """All points but those at +180, which are read as -180 where the library's encodings jump."""
    n, min_radius, max_radius = golden["pe_settings"][setting]
    encoder = MultiScaleEncoder(
        kind, n_frequencies=int(n), min_radius=min_radius, max_radius=max_radius
    )
    expected = golden[f"pe_{kind.replace('+', 'plus')}_{'ab'[setting]}"]
    features = encoder.transform(golden["lonlat"])
    assert features.shape == expected.shape
    kept = golden["lonlat"][:, 0] < 180
    assert kept.sum() > 50
    assert_allclose(features[kept], expected[kept], rtol=0, atol=1e-12)


def test_the_seam_at_180_is_the_only_difference_to_the_library(golden):
    """A point at 180 degrees has the published code of -180."""
    lonlat = golden["lonlat"]
    seam = lonlat[:, 0] == 180
    assert seam.any()
    n, min_radius, max_radius = golden["pe_settings"][0]
    encoder = MultiScaleEncoder(
        "grid", n_frequencies=int(n), min_radius=min_radius, max_radius=max_radius
    )
    mirrored = golden["pe_grid_a"][seam].copy()
    mirrored[:, : 2 * int(n) : 2] *= -1  # sines of longitude
    assert_allclose(encoder.transform(lonlat[seam]), mirrored, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("units", ["degrees", "radians"])
def test_columns_equal_the_papers_formulas(points, kind, n, units):
    u, v = points.T if units == "degrees" else np.radians(points.T)
    radii = (1.5, 300.0) if units == "degrees" else (0.01, 1.0)
    encoder = MultiScaleEncoder(
        kind,
        n_frequencies=n,
        min_radius=radii[0],
        max_radius=radii[1],
        convention="sphere2vec",
        units=units,
    )
    inside = points[:, 0] < 180
    expected = np.stack(plain(kind, u, v, frequencies(n, *radii)), axis=1)[inside]
    features = encoder.transform(points[inside])
    assert features.shape[1] == (4 * n * n + 4 * n if kind == "dfs" else WIDTH[kind] * n)
    assert_allclose(features, expected, rtol=0, atol=2e-13)


@pytest.mark.parametrize("kind", SPHERE_KINDS)
def test_duplicates_repeat_each_column_in_place(points, kind):
    once = MultiScaleEncoder(kind, duplicate=False).transform(points)
    twice = MultiScaleEncoder(kind, duplicate=True).transform(points)
    assert_array_equal(twice, np.repeat(once, 2, axis=1))


def test_theory_with_odd_frequencies_swaps_only_in_the_librarys_convention(points):
    library = MultiScaleEncoder("theory", n_frequencies=3)
    paper = MultiScaleEncoder("theory", n_frequencies=3, convention="sphere2vec", units="degrees")
    paper.set_params(min_radius=1.0, max_radius=360.0)
    ours, theirs = library.transform(points), paper.transform(points)
    assert_array_equal(ours[:, :9], theirs[:, :9])
    swapped = ours[:, 9:]
    names = paper.get_feature_names_out()[9:]
    partner = [
        name.replace("sin", "SIN").replace("cos", "sin").replace("SIN", "cos") for name in names
    ]
    columns = {name: theirs[:, c] for c, name in enumerate(paper.get_feature_names_out())}
    assert_array_equal(swapped, np.stack([columns[name] for name in partner], axis=1))
    # sin_a1_1 stands in front of the swap and behind it, cos_a1_1 nowhere
    partner[0] += "_copy"
    assert library.get_feature_names_out()[9:].tolist() == partner


def test_the_unit_vector_is_the_coarsest_scale_of_the_papers_spherec(points):
    encoder = MultiScaleEncoder("spherec", n_frequencies=4, convention="sphere2vec")
    z, x, y = encoder.transform(points)[:, -3:].T
    assert_allclose(
        np.stack([x, y, z], axis=1), CartesianEncoder().transform(points), rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convention", ["locationencoder", "sphere2vec"])
def test_names_are_unique_and_as_many_as_columns(kind, convention):
    encoder = MultiScaleEncoder(kind, n_frequencies=3, convention=convention)
    names = encoder.get_feature_names_out()
    assert len(set(names)) == len(names) == encoder.transform([[1.0, 2.0]]).shape[1]


def test_names_tell_the_product_and_the_scale():
    encoder = MultiScaleEncoder("spherem", n_frequencies=2, convention="sphere2vec")
    assert encoder.get_feature_names_out().tolist() == [
        "sin_lat_0",
        "cos_lat_0*cos_lon",
        "cos_lat*cos_lon_0",
        "cos_lat_0*sin_lon",
        "cos_lat*sin_lon_0",
        "sin_lat_1",
        "cos_lat_1*cos_lon",
        "cos_lat*cos_lon_1",
        "cos_lat_1*sin_lon",
        "cos_lat*sin_lon_1",
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convention", ["locationencoder", "sphere2vec"])
def test_tensors_give_the_same_numbers(points, kind, convention):
    encoder = MultiScaleEncoder(kind, n_frequencies=5, convention=convention)
    on_torch = MultiScaleEncoder(kind, n_frequencies=5, convention=convention, device="cpu")
    assert torch.is_tensor(torch.zeros(1))
    assert_allclose(on_torch.transform(points), encoder.transform(points), rtol=0, atol=1e-12)


def test_the_smallest_radius_still_gives_sines():
    """Phases of 1e11 carry no information, yet stay within one."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 500), rng.uniform(-90, 90, 500)])
    for convention in ("locationencoder", "sphere2vec"):
        encoder = MultiScaleEncoder("grid", min_radius=1e-9, convention=convention)
        assert np.abs(encoder.transform(X)).max() <= 1 + 1e-12


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_radius": 2.0, "max_radius": 1.0}, "min_radius=2 is above max_radius=1"),
        ({"min_radius": 2.0, "convention": "sphere2vec"}, "max_radius=1 .in radians"),
        ({"kind": "grid", "duplicate": True}, "leave duplicate=None"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_settings_that_contradict_each_other_are_refused(parameters, message, method):
    with pytest.raises(ValueError, match=message):
        getattr(MultiScaleEncoder(**parameters), method)([[1.0, 2.0]])


@pytest.mark.parametrize(
    "parameters", [{"kind": "spherex"}, {"n_frequencies": 0}, {"min_radius": 0.0}, {"units": "m"}]
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(InvalidParameterError, match=next(iter(parameters))):
        MultiScaleEncoder(**parameters).fit([[1.0, 2.0]])
