"""Pixels of remote NumPy files by byte ranges, and whether ranges are worth it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofeat.rasters._npy_map import NpyHeader
from geofeat.rasters._remote import read_ranges

# What one request counts beside the bytes that it brings: about the time in which as many arrive.
REQUEST_BYTES = 2**16
_LONGEST_RANGE = 2**22


class PixelRanges(NamedTuple):
    """Runs of neighbouring pixels that hold some pixels.

    Attributes
    ----------
    first, last : int64 arrays of shape (r,)
        First pixel of each run, and the one behind its last.
    members : int64 array of shape (r + 1,)
        Where the pixels of each run start among all that are asked for.
    pixel_bytes : int
        Bytes of a pixel.
    """

    first: np.ndarray
    last: np.ndarray
    members: np.ndarray
    pixel_bytes: int

    @property
    def n_bytes(self) -> int:
        """Bytes that reading the runs brings."""
        return int((self.last - self.first).sum()) * self.pixel_bytes

    @property
    def cost(self) -> int:
        """Bytes, and `REQUEST_BYTES` for each request."""
        return self.n_bytes + REQUEST_BYTES * self.first.size


def pixel_ranges(header: NpyHeader, pixels: np.ndarray) -> PixelRanges:
    """Find runs that hold pixels, int64, ascending and different.

    Runs are joined over gaps of up to `REQUEST_BYTES`, which costs less than another request, until
    they reach 4 MiB.
    """
    _, numbers = header.pixel_shape
    pixel_bytes = numbers * header.dtype.itemsize
    gap = np.diff(pixels) * pixel_bytes > REQUEST_BYTES + pixel_bytes
    longest = max(1, _LONGEST_RANGE // pixel_bytes)
    starts = np.concatenate(([0], np.flatnonzero(gap) + 1))
    ends = np.append(starts[1:], pixels.size)
    # Long runs are cut at multiples of the longest from their first pixel.
    run = np.repeat(np.arange(starts.size), ends - starts)
    piece = (pixels - pixels[starts][run]) // longest
    cut = (np.diff(run) > 0) | (np.diff(piece) > 0)
    starts = np.concatenate(([0], np.flatnonzero(cut) + 1))
    members = np.append(starts, pixels.size)
    return PixelRanges(pixels[starts], pixels[members[1:] - 1] + 1, members, pixel_bytes)


def read_pixels(header: NpyHeader, pixels: np.ndarray, ranges: PixelRanges) -> np.ndarray:
    """Numbers of pixels, shape (pixels, numbers of a pixel), read-only."""
    _, numbers = header.pixel_shape
    spans = [
        (header.offset + first * ranges.pixel_bytes, (last - first) * ranges.pixel_bytes)
        for first, last in zip(ranges.first.tolist(), ranges.last.tolist(), strict=True)
    ]
    found = np.empty((pixels.size, numbers), dtype=header.dtype)
    bodies = read_ranges(header.path, spans)
    members = ranges.members.tolist()
    for i, (body, first) in enumerate(zip(bodies, ranges.first.tolist(), strict=True)):
        part = slice(members[i], members[i + 1])
        found[part] = np.frombuffer(body, header.dtype).reshape(-1, numbers)[pixels[part] - first]
    found.flags.writeable = False  # as a map: kernels are compiled once for both
    return found


def whole_file_gain(ranges_cost: int, file_bytes: int, n_files: int) -> int:
    """Say what whole files are worth rather than ranges of them, in bytes; below 0: nothing.

    Twice the cost of the ranges, since whole files are verified by their hashes and serve every
    later call, less the cost of the files.
    """
    return 2 * ranges_cost - file_bytes - REQUEST_BYTES * n_files
