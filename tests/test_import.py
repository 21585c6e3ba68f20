"""What importing the package costs and brings."""

import subprocess
import sys

import pytest

import geofeat

HEAVY = ["torch", "geopandas", "rasterio", "xarray", "matplotlib", "pandas", "polars", "pyarrow"]


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_import_brings_nothing_heavy():
    code = f"import sys, geofeat; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    assert run_python(code) == []


@pytest.mark.parametrize("name", ["SphericalHarmonicsEncoder", "HarmonicFeatures"])
def test_formulas_bring_no_raster_or_frame_library(name):
    """Beyond what scikit-learn brings: it imports pandas where it is installed."""
    code = (
        f"import sys, sklearn; before = set(sys.modules); from geofeat import {name}\n"
        f"print(*[m for m in {HEAVY!r} if m in set(sys.modules) - before])"
    )
    assert run_python(code) == []


def test_every_public_name_resolves():
    for name in geofeat.__all__:
        assert getattr(geofeat, name) is not None
    assert set(geofeat.__all__) <= set(dir(geofeat))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sphere'"):
        geofeat.Sphere  # noqa: B018


def test_show_versions_names_what_a_report_needs(capsys):
    geofeat.show_versions()
    printed = capsys.readouterr().out
    for fact in ("geofeat", "python", "numba", "GDAL", "threads", "torch devices", "cache folder"):
        assert fact in printed
    assert geofeat.__version__ in printed
