"""Stored numbers -> float32 values, NaN where nothing is stored: one rule a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from geofeat.exceptions import RasterMismatchError

RULES = ("none", "scale_offset", "aef", "esd")
AEF_NODATA = -128
ZERO_VECTORS = "zeros"
# A code of the Embedded Seamless Data has digits of these bases, the first varies fastest.
_ESD_LEVELS = np.array([8, 8, 8, 5, 5, 5])
_ESD_MONTHS = 12


class BandDecoder(NamedTuple):
    """How the bands asked for become numbers.

    Either ``tables``, float32 of shape (bands, 256) by the stored byte, or ``nodata``, ``scales``
    and ``offsets`` of shape (bands,) for wider types. ``digits`` says of each band asked for which
    digit of which stored band it is. With ``zeros`` a vector of zeros stands for nothing.
    """

    tables: np.ndarray | None
    nodata: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    zeros: bool = False
    digits: tuple[np.ndarray, np.ndarray] | None = None

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Float32 values of raw numbers, shape (bands, k); what float32 cannot hold is infinite."""
        values = self._values(raw)
        if self.zeros:
            values[:, (raw == 0).all(axis=0)] = np.nan
        return values

    def _values(self, raw: np.ndarray) -> np.ndarray:
        if self.digits is not None:
            return self._digits(raw, *self.digits)
        if self.tables is not None:
            index = np.ascontiguousarray(raw).view(np.uint8)
            return np.take_along_axis(self.tables, index.astype(np.intp), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            if (self.scales == 1).all() and (self.offsets == 0).all():
                values = raw.astype(np.float32)
            else:
                exact = raw.astype(np.float64) * self.scales[:, None] + self.offsets[:, None]
                values = exact.astype(np.float32)
            # A file stores the nodata value rounded to its own type.
            stored = self.nodata.astype(raw.dtype) if raw.dtype.kind == "f" else self.nodata
        values[raw == stored[:, None]] = np.nan
        return values

    def _digits(self, raw: np.ndarray, band: np.ndarray, digit: np.ndarray) -> np.ndarray:
        """Digits of codes, scaled to [-1, 1]; NaN where a number is no code."""
        codes = raw.astype(np.int64)[band]
        level = _ESD_LEVELS[digit][:, None]
        worth = np.cumprod(np.append(1, _ESD_LEVELS))[digit][:, None]
        half = level // 2
        values = ((codes // worth % level - half) / half).astype(np.float32)
        missing = (raw == self.nodata[:, None]) | (raw < 0) | (raw >= _ESD_LEVELS.prod())
        values[missing[band]] = np.nan
        return values


def check_rule(rule: str, nodata: Any = None) -> None:
    """Refuse a way of decoding that does not exist, or that says itself what is missing."""
    if rule not in RULES:
        raise ValueError(f"decode must be one of {RULES}, got {rule!r}")
    if isinstance(nodata, str) and nodata != ZERO_VECTORS:
        raise ValueError(f"nodata must be a number or {ZERO_VECTORS!r}, got {nodata!r}")
    if nodata is not None and rule == "aef" and nodata != AEF_NODATA:
        raise ValueError(f"decode='aef' has nodata {AEF_NODATA}, got nodata={nodata!r}")


def decoded_names(path: str, rule: str, stored: Sequence[str]) -> tuple[str, ...]:
    """Names of the bands that come out, from those of the stored ones.

    Of "esd", ``esd_m01_1`` is the first digit of January.
    """
    if rule != "esd":
        return tuple(stored)
    if len(stored) not in (_ESD_MONTHS, _ESD_MONTHS + 1):
        raise RasterMismatchError(
            path,
            f"has {len(stored)} bands, decode='esd' reads codes of {_ESD_MONTHS} months, and "
            "perhaps a band of quality behind them",
        )
    return tuple(
        f"esd_m{month:02d}_{digit}"
        for month in range(1, _ESD_MONTHS + 1)
        for digit in range(1, _ESD_LEVELS.size + 1)
    )


def stored_bands(rule: str, bands: np.ndarray) -> np.ndarray:
    """Positions of the stored bands that the bands asked for are made of."""
    return np.unique(bands // _ESD_LEVELS.size) if rule == "esd" else bands


def aef_table() -> np.ndarray:
    """Value of each stored AlphaEarth byte: sign(q) (q / 127.5)^2, NaN for -128; shape (256,).

    Indexed by the byte read as unsigned. Computed in float32, as the producer's tools do.
    """
    stored = np.arange(256, dtype=np.uint8).view(np.int8)
    ratio = stored.astype(np.float32) / np.float32(127.5)
    values = np.sign(ratio) * ratio**2
    values[stored == AEF_NODATA] = np.nan
    return values


def band_decoder(
    path: str,
    dtype: str,
    rule: str,
    nodata: Sequence[float | None],
    scales: Sequence[float],
    offsets: Sequence[float],
    *,
    asked: np.ndarray,
    zeros: bool = False,
) -> BandDecoder:
    """Build the decoder of bands of one type under one of `RULES`; one entry a stored band.

    ``asked`` are the positions of the bands that come out, ``zeros`` says that a vector of zeros
    stands for nothing.

    Raises
    ------
    RasterMismatchError
        The rule does not go with the type; ``path`` is named.
    """
    n_bands = len(nodata)
    used = (scales, offsets) if rule == "scale_offset" else (np.ones(n_bands), np.zeros(n_bands))
    empty = [np.nan if number is None else number for number in nodata]
    missing, scale, offset = (np.array(part, dtype=np.float64) for part in (empty, *used))
    decoder = BandDecoder(None, missing, scale, offset, zeros)
    if rule == "esd":
        return _digit_decoder(path, dtype, decoder, asked)
    if dtype not in ("int8", "uint8"):
        if rule == "aef":
            raise RasterMismatchError(
                path,
                f"holds {dtype} numbers, AlphaEarth's rule decodes bytes; numbers that are "
                "decoded already are read with decode='none'",
            )
        return decoder
    if rule == "aef":
        tables = np.repeat(aef_table()[None], n_bands, axis=0)
    else:
        stored = np.arange(256, dtype=np.uint8).view(dtype)
        tables = decoder._replace(zeros=False).decode(np.repeat(stored[None], n_bands, axis=0))
    return decoder._replace(tables=np.ascontiguousarray(tables))


def _digit_decoder(path: str, dtype: str, decoder: BandDecoder, asked: np.ndarray) -> BandDecoder:
    if np.dtype(dtype).kind not in "iu" or np.dtype(dtype).itemsize < 2:
        raise RasterMismatchError(path, f"holds {dtype} numbers, the codes of 'esd' need 16 bits")
    _, band = np.unique(asked // _ESD_LEVELS.size, return_inverse=True)
    digits = band, asked % _ESD_LEVELS.size
    return decoder._replace(zeros=True, digits=digits)
