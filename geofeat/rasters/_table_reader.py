"""Embeddings of rows of Parquet files, every touched row group read once."""

from __future__ import annotations

from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import numpy as np

from geofeat.exceptions import CorruptFileError
from geofeat.rasters._blocks import BlockWindow
from geofeat.rasters._candidates import Candidates
from geofeat.rasters._sink import PixelSink
from geofeat.rasters._table_files import TableFile, column_batches

_BATCH_BYTES = 2**23


class TableReader:
    """Reads the candidates of one call; a block is a row group.

    Parameters
    ----------
    found : Candidates
        Their ``files`` are `TableFile`, their ``row`` counts from a file's first.
    bands : int64 array of shape (bands,)
        Positions in the embeddings.
    width : int
        Numbers in an embedding.
    """

    def __init__(self, found: Candidates, bands: np.ndarray, width: int):
        self._files: list[TableFile] = found.files
        self._row = found.row
        self._bands = bands
        self._width = width
        groups = [file.starts.size - 1 for file in self._files]
        self._first_block = np.concatenate(([0], np.cumsum(groups, dtype=np.int64)))
        self.block = np.empty(found.row.size, dtype=np.int64)
        for i, file in enumerate(self._files):
            here = np.flatnonzero(found.file == i)
            group = np.searchsorted(file.starts, found.row[here], side="right") - 1
            self.block[here] = self._first_block[i] + group

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing open: each read closes its file."""

    def windows(self, which: np.ndarray) -> list[BlockWindow]:
        """Row groups of the candidates ``which``, each once; the candidates by row."""
        order = which[np.lexsort((self._row[which], self.block[which]))]
        blocks = self.block[order]
        cuts = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), order.size]
        found = []
        for a, b in pairwise(cuts if order.size else []):
            index = int(np.searchsorted(self._first_block, blocks[a], side="right")) - 1
            starts = self._files[index].starts
            first, end = starts[int(blocks[a] - self._first_block[index]) :][:2].tolist()
            found.append(BlockWindow(index, first, 0, end - first, 1, 1, order[a:b]))
        return found

    def stored_bytes(self, window: BlockWindow) -> int:
        """Compressed bytes of the embeddings of a row group."""
        file = self._files[window.file]
        group = file.metadata.row_group(self._group(window))
        columns = (group.column(i) for i in range(group.num_columns))
        name = file.columns.embedding
        return sum(
            column.total_compressed_size
            for column in columns
            if column.path_in_schema.split(".")[0] == name
        )

    def read(self, window: BlockWindow, sink: PixelSink) -> None:
        """Hand the embeddings of a window's candidates over, batch by batch of its rows."""
        file = self._files[window.file]
        which = window.which
        rows = self._row[which]
        first, done = window.row, 0
        n_rows = max(1, min(_BATCH_BYTES // (4 * self._width), 2**16))
        for batch in column_batches(file, file.columns.embedding, n_rows, self._group(window)):
            end = first + len(batch)
            upto = int(np.searchsorted(rows, end))
            if upto > done:
                taken = batch.take(_arrow(rows[done:upto] - first))
                values = embeddings_of(taken, self._width, file.path, rows[done:upto])
                chosen = np.ascontiguousarray(values[:, self._bands].T)
                sink.put_values(which[done:upto], chosen)
            first, done = end, upto
            if done == rows.size:
                return
        raise CorruptFileError(file.path, f"ends before row {int(rows[done])}")

    def _group(self, window: BlockWindow) -> int:
        starts = self._files[window.file].starts
        return int(np.searchsorted(starts, window.row, side="right")) - 1


def embedding_width(files: list[TableFile]) -> int:
    """Numbers in an embedding: as the type of the column says, or the first row that has one."""
    import pyarrow as pa

    for file in files:
        for batch in column_batches(file, file.columns.embedding, 64):
            if pa.types.is_fixed_size_list(batch.type):
                return int(batch.type.list_size)
            known = batch.drop_null()
            if len(known):
                return len(known[0])
    raise CorruptFileError(files[0].path, "holds no embedding")


def embeddings_of(column: Any, width: int, path: str, rows: np.ndarray) -> np.ndarray:
    """Float32 numbers of lists, shape (k, width), NaN where a list or a number is missing.

    Raises
    ------
    CorruptFileError
        A list has another length; the file and the row are named.
    """
    import pyarrow.compute as pc

    values = np.full((len(column), width), np.nan, dtype=np.float32)
    known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    column = column.drop_null()
    length = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(length != width)
    if wrong.size:
        raise CorruptFileError(
            path,
            f"has an embedding of {length[wrong[0]]} numbers in row {rows[known[wrong[0]]]}, "
            f"others have {width}",
        )
    with np.errstate(over="ignore"):
        flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    values[known] = flat.reshape(known.size, width)
    return values


def _arrow(positions: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(positions)
