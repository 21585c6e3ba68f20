"""Points of many files grouped by the block that holds them, blocks joined to windows."""

from __future__ import annotations

from itertools import pairwise
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from geofeat.kernels._gather import counting_sort

# Windows are joined up to this much, so that small blocks and strips cost few calls. A block of an
# AlphaEarth file holds more by itself.
_WINDOW_BYTES = 2**24
_POINTS_PER_TASK = 2**12


class BlockLayout(NamedTuple):
    """How one file is cut: size of raster and block in pixels, bytes of a decoded block.

    ``block_bytes`` counts every band that is decoded for it, also where bands lie apart.
    """

    height: int
    width: int
    block_height: int
    block_width: int
    block_bytes: int


class BlockWindow(NamedTuple):
    """Touched blocks of one file that lie side by side, and the candidates inside.

    ``which`` holds positions in the candidates; ``blocks`` counts the blocks.
    """

    file: int
    row: int
    col: int
    height: int
    width: int
    blocks: int
    which: np.ndarray


def rows_per_task(height: int, n_points: int) -> int:
    """Rows of an addressable raster that one task reads: fewer points are not worth a thread."""
    return max(1, min(height, -(-height * _POINTS_PER_TASK // max(n_points, 1))))


class WindowedCandidates:
    """Base of readers: candidates by the block that holds their pixel.

    Parameters
    ----------
    file, row, col : int64 arrays of shape (m,)
        File and pixel of each candidate.
    layouts : list of BlockLayout
        One a file.
    """

    def __init__(
        self, file: np.ndarray, row: np.ndarray, col: np.ndarray, layouts: list[BlockLayout]
    ):
        self._file, self._row, self._col = file, row, col
        self._layouts = layouts
        cut = np.array(layouts, dtype=np.int64).reshape(-1, 5)
        self._columns = -(-cut[:, 1] // cut[:, 3])
        blocks = -(-cut[:, 0] // cut[:, 2]) * self._columns
        self._first_key = np.concatenate(([0], np.cumsum(blocks)))
        self.block = (
            self._first_key[file]
            + (row // cut[file, 2]) * self._columns[file]
            + col // cut[file, 3]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened: nothing, unless a reader says otherwise."""

    def block_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each candidate's block in the grid of its file's blocks."""
        cut = np.array(self._layouts, dtype=np.int64).reshape(-1, 5)[self._file]
        return self._row // cut[:, 2], self._col // cut[:, 3]

    def block_bytes(self) -> np.ndarray:
        """Bytes that a block of each file decodes to, int64."""
        return np.array([layout.block_bytes for layout in self._layouts], dtype=np.int64)

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Windows that cover every block of the candidates ``which`` once, and no other block.

        They come by file, then from the first row and column on.
        """
        if not which.size:
            return []
        keys = self.block[which]
        n_keys = int(self._first_key[-1])
        if n_keys > 16 * keys.size + 2**22:  # few points in a very large mosaic
            touched, keys = np.unique(keys, return_inverse=True)
            order, starts = counting_sort(keys, touched.size)
        else:
            order, starts = counting_sort(keys, n_keys)
            touched = np.flatnonzero(np.diff(starts))
            starts = np.append(starts[touched], keys.size)
        file = np.searchsorted(self._first_key, touched, side="right") - 1
        within = touched - self._first_key[file]
        row, col = within // self._columns[file], within % self._columns[file]
        cuts = self._cuts(file, row, col)
        order = which[order]
        return [
            _window(
                self._layouts[file[a]],
                int(file[a]),
                (int(row[a]), int(row[b - 1])),
                (int(col[a]), int(col[b - 1])),
                b - a,
                order[starts[a] : starts[b]],
            )
            for a, b in pairwise(cuts)
        ]

    def windows_of_area(
        self, file: int, rows: tuple[int, int], cols: tuple[int, int]
    ) -> list[BlockWindow]:
        """Windows, without candidates, of all pixels from the first to the last row and column."""
        layout = self._layouts[file]
        height = layout.block_height
        width = layout.block_width * max(1, _WINDOW_BYTES // layout.block_bytes)
        nobody = np.empty(0, dtype=np.int64)
        return [
            BlockWindow(
                file,
                max(row, rows[0]),
                max(col, cols[0]),
                min(row + height - 1, rows[1]) + 1 - max(row, rows[0]),
                min(col + width - 1, cols[1]) + 1 - max(col, cols[0]),
                1,
                nobody,
            )
            for row in range(rows[0] - rows[0] % height, rows[1] + 1, height)
            for col in range(cols[0] - cols[0] % width, cols[1] + 1, width)
        ]

    def _cuts(self, file: np.ndarray, row: np.ndarray, col: np.ndarray) -> list[int]:
        """Where a new window starts among the touched blocks, and their number at the end."""
        same_file = file[1:] == file[:-1]
        beside = (row[1:] == row[:-1]) & (col[1:] == col[:-1] + 1)
        below = (self._columns[file[1:]] == 1) & (row[1:] == row[:-1] + 1)
        joined = same_file & (beside | below)
        cuts, length = [0], 1
        for i, join in enumerate(joined.tolist(), start=1):
            longest = max(1, _WINDOW_BYTES // self._layouts[file[i]].block_bytes)
            if join and length < longest:
                length += 1
            else:
                cuts.append(i)
                length = 1
        return [*cuts, file.size]


def _window(
    layout: BlockLayout,
    file: int,
    rows: tuple[int, int],
    cols: tuple[int, int],
    blocks: int,
    which: np.ndarray,
) -> BlockWindow:
    top, left = rows[0] * layout.block_height, cols[0] * layout.block_width
    bottom = min((rows[1] + 1) * layout.block_height, layout.height)
    right = min((cols[1] + 1) * layout.block_width, layout.width)
    return BlockWindow(file, top, left, bottom - top, right - left, blocks, which)
