"""Every error and warning class of the package."""

from __future__ import annotations

__all__ = [
    "CoordinateWarning",
    "CorruptFileError",
    "CoverageWarning",
    "GeofeatError",
    "LimitError",
    "RasterMismatchError",
    "SourceError",
    "SpectrumWarning",
    "TimesWarning",
    "UnsafeFileError",
    "VersionWarning",
]


class GeofeatError(Exception):
    """Mix-in of every error that geofeat raises on its own account."""


class SourceError(GeofeatError, ValueError):
    """A file, folder or index that cannot serve as a source.

    Parameters
    ----------
    path : path-like or str
        What was read.
    reason : str
        What is wrong with it and how to mend it.
    """

    def __init__(self, path: object, reason: str):
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class CorruptFileError(SourceError):
    """A file that is unreadable, truncated or laid out otherwise than its format says."""


class UnsafeFileError(CorruptFileError):
    """A file whose reading could run code or leave its folder."""


class RasterMismatchError(SourceError):
    """Tiles of one source that differ in band count, dtype or release."""


class LimitError(GeofeatError, ValueError):
    """A size bound that the work would pass, found before the work starts."""


class CoordinateWarning(UserWarning):
    """Coordinates that cannot be a place on Earth; their rows come out as NaN."""


class CoverageWarning(UserWarning):
    """Points for which a source holds no value; their rows come out as NaN."""


class SpectrumWarning(UserWarning):
    """A covariance that the chosen degree of spherical harmonics cannot hold."""


class TimesWarning(UserWarning):
    """Observation times that had to be assumed."""


class VersionWarning(UserWarning):
    """An estimator pickled by another version of geofeat."""
