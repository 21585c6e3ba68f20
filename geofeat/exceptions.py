"""Every error and warning class of the package."""

from __future__ import annotations

from geofeat._downloads import without_secrets

__all__ = [
    "ChecksumError",
    "CoordinateWarning",
    "CorruptFileError",
    "CoverageWarning",
    "DownloadError",
    "GeofeatError",
    "LimitError",
    "OfflineError",
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
        What was read; of an address, user name, password and query are left out.
    reason : str
        What is wrong with it and how to mend it.
    """

    def __init__(self, path: object, reason: str):
        if isinstance(path, str) and "://" in path:
            path = without_secrets(path)
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        path = str(self.path)
        return f"{without_secrets(path) if '://' in path else path}: {self.reason}"


class CorruptFileError(SourceError):
    """A file that is unreadable, truncated or laid out otherwise than its format says."""


class ChecksumError(CorruptFileError):
    """A file that is not, byte for byte, the one that was expected.

    Parameters
    ----------
    path : path-like or str
        The file.
    reason : str
        What differs and how to mend it.
    expected, actual : str
        The SHA-256 sums, or the sizes, that differ.
    url : str
        Where the file came from, if it was downloaded.
    """

    def __init__(
        self, path: object, reason: str, *, expected: str = "", actual: str = "", url: str = ""
    ):
        super().__init__(path, reason)
        self.expected = expected
        self.actual = actual
        self.url = url


class UnsafeFileError(CorruptFileError):
    """A file whose reading could run code or leave its folder."""


class RasterMismatchError(SourceError):
    """Tiles of one source that differ in band count, dtype or release."""


class LimitError(GeofeatError, ValueError):
    """A size bound that the work would pass, found before the work starts."""


class DownloadError(GeofeatError, OSError):
    """A file that could not be downloaded; the error of the last attempt is its cause.

    Parameters
    ----------
    message : str
        Which file, from where, and how to come by it otherwise.
    url : str
        Address of the file, without user names and passwords.
    status : int or None
        Status of the last answer; None if there was none.
    attempts : int
        How often it was tried.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int | None = None, attempts: int = 0
    ):
        super().__init__(message)
        self.url = url
        self.status = status
        self.attempts = attempts


class OfflineError(DownloadError):
    """A file that is not on this computer, while downloads are switched off."""


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
