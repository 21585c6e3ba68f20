"""Which ranges of a remote array are read, and when the whole file is."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.rasters import _npy_ranges
from geofeat.rasters._npy_map import NpyHeader
from geofeat.rasters._npy_ranges import REQUEST_BYTES, pixel_ranges, read_pixels, whole_file_gain


def header(shape, dtype=np.int8):
    dtype = np.dtype(dtype)
    return NpyHeader("https://x/a.npy", shape, dtype, 128, (0, 0))


@pytest.mark.parametrize(("shape", "dtype"), [((300, 200, 128), "i1"), ((900, 800), "<f4")])
@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_runs_hold_each_pixel_once_and_join_over_gaps_only_that_are_cheaper(shape, dtype, n):
    pixel_bytes = np.dtype(dtype).itemsize * int(np.prod(shape[2:]))
    rng = np.random.default_rng(n)
    pixels = np.sort(rng.choice(shape[0] * shape[1], n, replace=False))
    ranges = pixel_ranges(header(shape, dtype), pixels)
    held = [pixels[a:b] for a, b in pairwise(ranges.members)]
    assert_array_equal(np.concatenate(held), pixels)
    for first, last, members in zip(ranges.first, ranges.last, held, strict=True):
        assert (first, last) == (members[0], members[-1] + 1)
        assert (last - first) * pixel_bytes <= 2**22
        assert (np.diff(members) - 1).max(initial=0) * pixel_bytes <= REQUEST_BYTES
    for a, b in pairwise(held):
        wide = (b[0] - a[-1] - 1) * pixel_bytes > REQUEST_BYTES
        full = (b[-1] + 1 - a[0]) * pixel_bytes > 2**22
        assert wide or full
    assert ranges.n_bytes == sum((m[-1] + 1 - m[0]) * pixel_bytes for m in held)
    assert ranges.cost == ranges.n_bytes + 65536 * len(held)


def test_long_runs_are_cut_between_pixels():
    ranges = pixel_ranges(header((1000, 1000, 128)), np.arange(100_000))
    assert ranges.n_bytes == 12_800_000
    assert ranges.first.size == 4
    assert_array_equal(ranges.first[1:], ranges.last[:-1])


def test_pixels_come_back_in_place(monkeypatch):
    rng = np.random.default_rng(0)
    stored = rng.integers(-127, 128, (400, 300, 128), dtype=np.int8)
    content = bytes(128) + stored.tobytes()
    asked = []

    def read_ranges(url, spans):
        asked.extend(spans)
        return [content[start : start + length] for start, length in spans]

    monkeypatch.setattr(_npy_ranges, "read_ranges", read_ranges)
    pixels = np.sort(rng.choice(120_000, 77, replace=False))
    ranges = pixel_ranges(header(stored.shape), pixels)
    found = read_pixels(header(stored.shape), pixels, ranges)
    assert_array_equal(found, stored.reshape(-1, 128)[pixels])
    assert sum(length for _, length in asked) == ranges.n_bytes


@pytest.mark.parametrize(
    ("cost", "gain"),
    [(0, -106_131_072), (53_065_535, -2), (53_065_536, 0), (106_000_000, 105868928)],
)
def test_whole_files_gain_where_ranges_cost_more_than_half_as_much(cost, gain):
    assert whole_file_gain(cost, 106_000_000, 2) == gain
