"""Where the chunks of a TIFF lie, and smaller TIFFs that hold some of them.

A remote file is fetched chunk by chunk and decoded by GDAL, which reads files: so the chunks of a
window are put behind the file's own header, with new addresses, in memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError

_WIDTH, _HEIGHT, _COMPRESSION, _ROWS_PER_STRIP, _SAMPLES = 256, 257, 259, 278, 277
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _SUBFILE_TYPE = 284, 322, 323, 254
# Tags whose values are places in the file: of further images and of a form of JPEG long given up.
_POINTERS = {330, 513, 514, 519, 520, 521, 34665, 34853, 40965}
_OLD_JPEG = 6
_REDUCED, _MASK = 1, 4
_LONG8 = 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_MAX_IMAGES = 64
_MAX_ENTRIES = 4096
_MAX_VALUE_BYTES = 2**28
# A chunk that was not fetched: beyond the end of every file, so that reading it is an error.
_NOWHERE = 2**62

Reader = Callable[[list[tuple[int, int]]], list[bytes]]


class Entry(NamedTuple):
    """A tag's value: type and number of values as in the file, and their bytes."""

    kind: int
    number: int
    value: bytes


class Chunks(NamedTuple):
    """How one image is cut: sizes in pixels, and each chunk's place in the file and its bytes.

    ``offset`` and ``size`` are int64 of shape (planes, rows, columns); a size of 0 stands for a
    chunk that is not stored.
    """

    height: int
    width: int
    offset: np.ndarray
    size: np.ndarray

    def touched(
        self, row: int, col: int, height: int, width: int, planes: np.ndarray
    ) -> np.ndarray:
        """Positions, in the flattened arrays, of the chunks that a window of some planes needs."""
        n_rows, n_cols = self.offset.shape[1:]
        i = np.arange(row // self.height, (row + height - 1) // self.height + 1)
        j = np.arange(col // self.width, (col + width - 1) // self.width + 1)
        found = planes[:, None, None] * n_rows + i[:, None]
        positions: np.ndarray = (found * n_cols + j).ravel()
        return positions


class TiffDirectory:
    """The first image of a TIFF and its mask.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    size : int
        Of the file, in bytes.
    read : callable
        Reads ranges, each (offset, length), of the file.

    Attributes
    ----------
    images : list of Chunks
        The image; then its mask, where the file holds one.
    planar : bool
        Whether bands lie apart.
    shape : (int, int)
        Height and width of the image.

    Raises
    ------
    CorruptFileError
        It is no TIFF, or damaged.
    """

    def __init__(self, name: str, size: int, read: Reader):
        self._name = name
        self._size = size
        self._read = read
        directories = self._directories()
        self.planar = self._number(directories[0], _PLANAR, 1) == 2
        self.shape = (
            self._number(directories[0], _HEIGHT, 0),
            self._number(directories[0], _WIDTH, 0),
        )
        self.images = [self._chunks(entries) for entries in directories]
        self._template, self._slots = _compose(self._order, directories)

    def header(self) -> bytes:
        """Give a TIFF of the same kind without any chunk."""
        return bytes(self._template)

    def with_chunks(self, chunks: list[tuple[int, np.ndarray, list[bytes]]]) -> bytes:
        """Give a TIFF of the same kind that holds some chunks.

        Parameters
        ----------
        chunks : list of (int, int64 array, list of bytes)
            Which image, the positions of chunks in it, and the content of each.
        """
        header = bytearray(self._template)
        parts = [content for _, _, contents in chunks for content in contents]
        end = len(header)
        for image, positions, contents in chunks:
            sizes = np.array([len(content) for content in contents], dtype=np.int64)
            starts = end + np.concatenate(([0], np.cumsum(sizes)))
            table = np.frombuffer(
                header,
                dtype=f"{self._order}u8",
                count=self.images[image].offset.size,
                offset=self._slots[image],
            )
            table[positions] = np.where(sizes > 0, starts[:-1], 0)
            end = int(starts[-1])
        return b"".join([header, *parts])

    def _directories(self) -> list[dict[int, Entry]]:
        """Entries of the first image and of its mask."""
        big, offset = self._start()
        image, following = self._entries(offset, big)
        found = [self._complete(image, big)]
        seen = {offset}
        while following and following not in seen and len(seen) < _MAX_IMAGES:
            seen.add(following)
            entries, following = self._entries(following, big)
            kind = self._number(entries, _SUBFILE_TYPE, 0)
            if kind & _MASK and not kind & _REDUCED:
                found.append(self._complete(entries, big))
                break
        return found

    def _start(self) -> tuple[bool, int]:
        """Whether offsets have eight bytes, and that of the first directory; sets the order."""
        start = self._read([(0, min(16, self._size))])[0].ljust(16, b"\0")
        self._order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
        if not self._order:
            raise CorruptFileError(self._name, "cannot be opened as GTiff: it is no TIFF")
        version = struct.unpack_from(f"{self._order}H", start, 2)[0]
        if version not in (42, 43):
            raise CorruptFileError(self._name, f"is a TIFF of the unknown version {version}")
        form, place = ("Q", 8) if version == 43 else ("I", 4)
        return version == 43, struct.unpack_from(self._order + form, start, place)[0]

    def _entries(self, offset: int, big: bool) -> tuple[dict[int, Entry], int]:
        """Entries of a directory and the offset of the next one.

        The value of an entry is the four or eight bytes that the directory itself holds.
        """
        form, length, entry = ("Q", 8, 20) if big else ("H", 2, 12)
        count = struct.unpack(self._order + form, self._bytes(offset, length))[0]
        if not 0 < count <= _MAX_ENTRIES:
            raise CorruptFileError(self._name, f"has a TIFF directory of {count} entries")
        width = 8 if big else 4
        body = self._bytes(offset + length, count * entry + width)
        found = {}
        for i in range(count):
            tag, kind = struct.unpack_from(f"{self._order}HH", body, i * entry)
            number = struct.unpack_from(self._order + ("Q" if big else "I"), body, i * entry + 4)[0]
            if kind in _BYTES and tag not in _POINTERS:
                value = body[(i + 1) * entry - width : (i + 1) * entry]
                found[tag] = Entry(kind, number, value)
        return found, struct.unpack(self._order + ("Q" if big else "I"), body[-width:])[0]

    def _complete(self, entries: dict[int, Entry], big: bool) -> dict[int, Entry]:
        """Entries with their values, also those that lie elsewhere in the file."""
        form, width = ("Q", 8) if big else ("I", 4)
        places = {}
        for tag, (kind, count, value) in entries.items():
            length = count * _BYTES[kind]
            if length > width:
                places[tag] = (struct.unpack(self._order + form, value)[0], length)
        # All together: fields that overlap make much of a small file.
        total = sum(length for _, length in places.values())
        if total > _MAX_VALUE_BYTES:
            raise LimitError(
                f"{self._name}: the fields of its header take {total} bytes, the bound is "
                f"{_MAX_VALUE_BYTES}; copy the file here, or have it rewritten with larger tiles."
            )
        elsewhere = dict(zip(places, self._read(list(places.values())), strict=True))
        return {
            tag: Entry(kind, count, elsewhere.get(tag, value[: count * _BYTES[kind]]))
            for tag, (kind, count, value) in entries.items()
        }

    def _bytes(self, offset: int, length: int) -> bytes:
        return self._read([(offset, length)])[0]

    def _chunks(self, entries: dict[int, Entry]) -> Chunks:
        """How an image is cut."""
        if self._number(entries, _COMPRESSION, 1) == _OLD_JPEG:
            raise CorruptFileError(self._name, "is compressed in the old form of JPEG")
        width, height = (
            self._number(entries, _WIDTH, 0),
            self._number(entries, _HEIGHT, 0),
        )
        if _TILE_WIDTH in entries:
            cut = (
                self._number(entries, _TILE_HEIGHT, 0),
                self._number(entries, _TILE_WIDTH, 0),
            )
        else:
            cut = min(self._number(entries, _ROWS_PER_STRIP, height), height), width
        if min(width, height, *cut) < 1:
            raise CorruptFileError(self._name, "has a TIFF directory without sizes of the image")
        planes = self._number(entries, _SAMPLES, 1) if self._number(entries, _PLANAR, 1) == 2 else 1
        shape = planes, -(-height // cut[0]), -(-width // cut[1])
        numbers = []
        for tags in ((_TILE_OFFSETS, _STRIP_OFFSETS), (_TILE_COUNTS, _STRIP_COUNTS)):
            entry = next((entries[tag] for tag in tags if tag in entries), None)
            if entry is None or entry.kind not in _INTEGERS or entry.number != math.prod(shape):
                raise CorruptFileError(
                    self._name, f"does not say where its {math.prod(shape)} blocks lie"
                )
            stored = np.frombuffer(entry.value, self._order + _INTEGERS[entry.kind])
            numbers.append(stored.astype(np.int64).reshape(shape))
        return Chunks(*cut, *numbers)

    def _number(self, entries: dict[int, Entry], tag: int, default: int) -> int:
        """First number of an entry."""
        entry = entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or not entry.number:
            return default
        order: Literal["little", "big"] = "little" if self._order == "<" else "big"
        return int.from_bytes(entry.value[: _BYTES[entry.kind]], order)


def _compose(order: str, directories: list[dict[int, Entry]]) -> tuple[bytes, list[int]]:
    """Header of a BigTIFF with directories, and where in it their chunks' offsets are written.

    All offsets lead nowhere.
    """
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
    slots = []
    for number, entries in enumerate(directories):
        head = len(out)
        out += bytes(8 + 20 * len(entries) + 8)
        struct.pack_into(f"{order}Q", out, head, len(entries))
        for i, tag in enumerate(sorted(entries)):
            kind, count, value = entries[tag]
            if tag in (_TILE_OFFSETS, _STRIP_OFFSETS):
                kind, value = _LONG8, np.full(count, _NOWHERE, f"{order}u8").tobytes()
            place = head + 8 + 20 * i
            struct.pack_into(f"{order}HHQ", out, place, tag, kind, count)
            if len(value) <= 8:
                start = place + 12
                out[start : start + len(value)] = value
            else:
                out += bytes(-len(out) % 8)
                start = len(out)
                struct.pack_into(f"{order}Q", out, place + 12, start)
                out += value
            if tag in (_TILE_OFFSETS, _STRIP_OFFSETS):
                slots.append(start)
        out += bytes(-len(out) % 8)
        if number + 1 < len(directories):
            struct.pack_into(f"{order}Q", out, head + 8 + 20 * len(entries), len(out))
    return bytes(out), slots
