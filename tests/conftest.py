"""What all tests share. SCIPY_ARRAY_API must be set before scikit-learn or SciPy is imported."""

import os
from pathlib import Path

os.environ["SCIPY_ARRAY_API"] = "1"
os.environ.setdefault("MPLBACKEND", "agg")  # doctests open no windows
# What tests and doctests build stays out of the user's cache.
os.environ.setdefault("GEOFEAT_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "geofeat"))

import numpy as np
import pytest

# The poles, both sides of the antimeridian, the equator and the prime meridian.
SPECIAL_POINTS = [
    (0.0, 0.0),
    (0.0, 90.0),
    (123.0, 90.0),
    (-77.0, -90.0),
    (180.0, 12.5),
    (-180.0, 12.5),
    (179.9999999, -45.0),
    (-179.9999999, 45.0),
    (90.0, 0.0),
    (-90.0, 0.0),
    (5.666, 51.985),
]


@pytest.fixture
def points():
    """Special points, then 200 points uniform on the sphere: lon, lat in degrees."""
    rng = np.random.default_rng(20)
    lon = rng.uniform(-180, 180, 200)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    return np.concatenate([SPECIAL_POINTS, np.column_stack([lon, lat])])


@pytest.fixture(scope="session")
def golden():
    """Numbers computed by the published encoders; tests/data/README.md tells how."""
    path = Path(__file__).parent / "data" / "golden_encoders.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def test_data():
    """Folder of real data, named by GEOFEAT_TEST_DATA."""
    folder = os.environ.get("GEOFEAT_TEST_DATA")
    if not folder:
        pytest.skip("GEOFEAT_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory):
    """Cache folder of the simulated sample, one for all workers of this test run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return folder / "geofeat_cache"
