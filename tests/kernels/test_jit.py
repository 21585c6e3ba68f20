"""The disk cache of compiled kernels may be missing, unwritable or damaged: imports work on."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

CODE = (
    "import numpy as np\n"
    "from geofeat import SphericalHarmonicsEncoder\n"
    "print(SphericalHarmonicsEncoder(3).transform([[5.0, 52.0]]).sum())\n"
)


def run(cache, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE],
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)} | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    cache = tmp_path_factory.mktemp("numba")
    return cache, run(cache)


def test_damaged_cache_files_are_rebuilt(warm_cache):
    cache, expected = warm_cache
    files = [p for p in cache.rglob("*") if p.suffix in {".nbi", ".nbc"}]
    assert files
    for position, file in enumerate(files):  # emptied, overwritten, cut short, in turn
        file.write_bytes([b"", b"garbage", file.read_bytes()[:100]][position % 3])
    assert run(cache) == expected
    assert run(cache) == expected


def test_a_cache_folder_that_cannot_exist_is_done_without(warm_cache, tmp_path):
    _, expected = warm_cache
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file" / "cache") == expected


def test_processes_that_fill_an_empty_cache_at_once_agree(warm_cache, tmp_path):
    _, expected = warm_cache
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [tmp_path] * 2)) == [expected] * 2
    assert run(tmp_path) == expected
