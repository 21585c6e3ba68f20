"""EmbeddingRasterSampler: values of embedding rasters at points."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._memory import refuse_beyond_memory
from geofeat._sklearn import Interval, StrOptions, _fit_context, move_to
from geofeat.rasters._candidates import OK
from geofeat.rasters._neighbourhoods import Neighbourhood
from geofeat.rasters._places import Places, PointPlaces, PolygonPlaces, Reading
from geofeat.rasters._polygons import polygon_bounds, read_polygons
from geofeat.rasters._sampling import (
    Sampled,
    band_positions,
    info_frame,
    tell_missing,
)
from geofeat.rasters._sources import Source, open_source
from geofeat.rasters._years import asked_years, listed_years, refuse_aligned_years
from geofeat.rasters._zonal_reading import Zonal

if TYPE_CHECKING:
    import pandas as pd


class EmbeddingRasterSampler(LocationTransformer):
    """Precomputed Earth embeddings at points: AlphaEarth, TESSERA or any raster like them.

    Each point gets the vector of the pixel that contains it, or one made of the pixels around it.
    Points may lie in any number of files, zones and years and come in any order; each block of a
    file is decoded once. Rows keep their order, a row without a value is NaN throughout.

    Parameters
    ----------
    source : a source of this package, path, or xarray.DataArray or Dataset
        Where the embeddings lie. A folder, file, index, pattern or list of files, or an array, gets
        the source that fits it: `AlphaEarthSource`, `TesseraSource`, `RasterSource`, `ArraySource`,
        `ZarrSource` or `EmbeddingTableSource`.
    year : int, date, list of those, str or array-like, default=None
        One year for all rows; a list for columns of several years, named ``A00_2022``, ...; the
        name of a column of X, or an array aligned with X, for a year of each row. A pandas Series
        must have X's index where X has one, a plain array is matched by position. Dates mean their
        calendar year. None where the source holds one year or none.
    lag : int, default=0
        Added to every year. The layer of a year has seen that year to its end, so that -1 keeps a
        forecast free of the future. Columns are named by the layer that they hold: ``A00_2021``,
        ``A00_2022`` for ``year=[2022, 2023], lag=-1``. Needs ``year``.
    fallback : {None, "nearest"}, default=None
        What a place without the asked year gets: NaN, or the nearest year (the earlier of two),
        told by `sample`.
    bands : list of str or int, default=None
        Names or positions of the bands to read, and their order; only these are read. None: all.
    method : {"nearest", "bilinear"}, default="nearest"
        "nearest" takes the pixel that contains the point. "bilinear" weights the decoded vectors
        of the four pixel centres around it; missing ones are left out, the other weights grow.
    window : int, default=None
        Take a square of so many pixels around the pixel of the point, an odd number.
    radius : float, default=None
        Take the pixels whose centre lies within so many metres of the point, and its own.
    statistic : {"mean", "std", "median"}, default="mean"
        What is made of the valid pixels of ``window`` or ``radius``, band by band; "std" is that
        of the pixels themselves, without a correction for few.
    zonal : {None, "mean", "std", "center"}, default=None
        Sample polygons instead of points: X is a GeoDataFrame or GeoSeries of them. "mean" weights
        each decoded pixel by the fraction of it that the polygon covers, "std" is the standard
        deviation under these weights, "center" the mean of the pixels whose centre lies inside. A
        polygon without area, or with "center" one without a centre, takes the pixel of a point
        inside it. Needs exactextract: ``pip install 'geofeat[polygons]'``.
    return_coherence : bool, default=False
        Whether a last column ``coherence`` tells, for ``zonal``, the length of the mean vector
        before ``normalize``: of AlphaEarth 1 where all pixels agree.
    min_valid : float, default=0.0
        Least share of valid pixels, those beyond the data counting as missing; one at least. Of
        polygons the share of their area.
    strict : bool, default=False
        Whether a point is missing where its own pixel is, whatever lies around it.
    normalize : {None, "l2"}, default=None
        "l2" scales each vector (of the bands read) to length 1, after any averaging.
    missing : {"any", "all"}, default="any"
        Whether one missing band, or only all of them, make a missing vector.
    on_missing : {"warn", "nan", "raise"} or float, default="warn"
        What is done about rows that the source has no value for. NaN with one
        `CoverageWarning` that counts them by reason; NaN without a word, unless files that the
        source names are not there; `SourceError`; or this number in place of NaN, also in rows
        without coordinates.
    progress : bool, default=None
        Whether to show a progress bar. None: on a terminal, when reading takes longer than 2 s.

    Attributes
    ----------
    source_ : AlphaEarthSource, TesseraSource, RasterSource or ArraySource
        The source that ``source`` means.
    n_features_out_ : int
        Number of output columns.
    bounds_ : ndarray of shape (4,)
        West, south, east, north of the fitted points, in degrees.

    See Also
    --------
    AlphaEarthSource : Annual AlphaEarth files and their index.
    TesseraSource : Folders of TESSERA tiles.

    Notes
    -----
    Output is float32. `fit` reads no pixel and `transform` works without it. Nothing stays open
    between calls; pickles hold parameters only.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> from geofeat import EmbeddingRasterSampler
    >>> raster = xr.DataArray(
    ...     np.array([[[1, 2], [3, 4]]], dtype=np.float32),
    ...     coords={"band": ["height"], "lat": [50.5, 49.5], "lon": [7.5, 8.5]},
    ...     dims=("band", "lat", "lon"),
    ... )
    >>> sampler = EmbeddingRasterSampler(raster, on_missing="nan")
    >>> values, info = sampler.sample([[7.2, 50.9], [8.9, 49.1], [20.0, 50.0]], return_info=True)
    >>> values
    array([[ 1.],
           [ 4.],
           [nan]], dtype=float32)
    >>> info[["row", "col", "reason"]]
       row   col       reason
    0    0     0           ok
    1    1     1           ok
    2 <NA>  <NA>  no_coverage
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "source": "no_validation",
        "year": [None, Real, dt.date, np.datetime64, str, "array-like"],
        "lag": [Integral],
        "fallback": [None, StrOptions({"nearest"})],
        "bands": [None, "array-like"],
        "method": [StrOptions({"nearest", "bilinear"})],
        "window": [None, Interval(Integral, 1, None, closed="left")],
        "radius": [None, Interval(Real, 0, None, closed="neither")],
        "statistic": [StrOptions({"mean", "std", "median"})],
        "zonal": [None, StrOptions({"mean", "std", "center"})],
        "return_coherence": ["boolean"],
        "min_valid": [Interval(Real, 0, 1, closed="both")],
        "strict": ["boolean"],
        "normalize": [None, StrOptions({"l2"})],
        "missing": [StrOptions({"any", "all"})],
        "on_missing": [
            StrOptions({"warn", "nan", "raise"}),
            Interval(Real, None, None, closed="neither"),
        ],
        "progress": ["boolean", None],
    }

    def __init__(  # noqa: PLR0913 - an estimator lists all its parameters
        self,
        source: Any,
        *,
        year: Any = None,
        lag: int = 0,
        fallback: Literal["nearest"] | None = None,
        bands: Any = None,
        method: Literal["nearest", "bilinear"] = "nearest",
        window: int | None = None,
        radius: float | None = None,
        statistic: Literal["mean", "std", "median"] = "mean",
        zonal: Literal["mean", "std", "center"] | None = None,
        return_coherence: bool = False,
        min_valid: float = 0.0,
        strict: bool = False,
        normalize: Literal["l2"] | None = None,
        missing: Literal["any", "all"] = "any",
        on_missing: Literal["warn", "nan", "raise"] | float = "warn",
        progress: bool | None = None,
    ):
        self.source = source
        self.year = year
        self.lag = lag
        self.fallback = fallback
        self.bands = bands
        self.method = method
        self.window = window
        self.radius = radius
        self.statistic = statistic
        self.zonal = zonal
        self.return_coherence = return_coherence
        self.min_valid = min_valid
        self.strict = strict
        self.normalize = normalize
        self.missing = missing
        self.on_missing = on_missing
        self.progress = progress

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and the source; no pixel is read.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS; with
            ``zonal`` polygons in any CRS.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The sampler itself.
        """
        source = open_source(self.source)
        n_features_out = self._width(band_positions(self.bands, source)) * len(self._suffixes())
        if isinstance(self._asked(), Zonal):
            bounds = polygon_bounds(read_polygons(X, type(self).__name__))
            self._check_columns(X, reset=True)
            self.bounds_ = bounds
        else:
            super().fit(X)
        self.source_, self._source_given = source, self.source
        self.n_features_out_ = n_features_out
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Read the embedding of every row of X.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS; with
            ``zonal`` polygons in any CRS.

        Returns
        -------
        values : float32 array of shape (n_samples, n_features_out)
            NaN in rows without a value, unless ``on_missing`` says otherwise.
        """
        values, layers = self._sample(X)
        self._tell(layers)
        return values

    @overload
    def sample(self, X: Any, return_info: Literal[False] = False) -> np.ndarray: ...

    @overload
    def sample(self, X: Any, return_info: Literal[True]) -> tuple[np.ndarray, pd.DataFrame]: ...

    def sample(
        self, X: Any, return_info: bool = False
    ) -> np.ndarray | tuple[np.ndarray, pd.DataFrame]:
        """Read the embedding of every row of X, and tell where each came from.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            As in `transform`.
        return_info : bool, default=False
            Whether to return the second table.

        Returns
        -------
        values : float32 array of shape (n_samples, n_features_out)
            As of `transform`.
        info : pandas.DataFrame of n_samples rows
            Columns ``file``, ``row`` and ``col`` (pixel counted from the file's first), ``reason``
            and ``year`` (of the layer used), with X's index; suffixed by the year where ``year``
            lists several. Reasons: ok; nodata (the pixel is empty); water (empty and not land);
            no_coverage (no file for the place, or it is not there: then ``file`` names it);
            no_year (no file for the year, others exist); outside (promised by an index or a tile
            name, but beyond the raster); bad_coordinate. Polygons have a ``file`` where they lie in
            one only, and three columns more: ``pixels`` with data, the sum of their ``weight``, and
            the ``valid`` share of the polygon's area.
        """
        values, layers = self._sample(X)
        self._tell(layers)
        if not return_info:
            return values
        import pandas as pd

        index = getattr(X, "index", None)
        if not isinstance(index, pd.Index):
            index = pd.RangeIndex(values.shape[0])
        frames = [info_frame(layer, index) for layer in layers]
        suffixes = self._suffixes()
        if len(frames) > 1:
            frames = [frame.add_suffix(end) for frame, end in zip(frames, suffixes, strict=True)]
        return values, pd.concat(frames, axis=1)

    def coverage(self, X: Any) -> pd.DataFrame:
        """Tell what the source has for the points, before any pixel is read.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            As in `transform`.

        Returns
        -------
        report : pandas.DataFrame, one row a year
            Where ``year`` is None, every year of the source. ``points`` asked for; ``located`` in
            a file; points with ``no_coverage``, ``no_year``, ``outside``, ``bad_coordinate``;
            ``absent_files``; and the ``files``, ``blocks`` and ``bytes`` that `transform` will
            read (compressed where the files tell, decoded otherwise).
        """
        import pandas as pd

        source = self._open()
        places = self._read_places(X)
        bands = band_positions(self.bands, source)
        if self.year is None and not self.lag and source.years:
            asked, fallback = list(source.years), None  # what each year has of its own
        else:
            asked, fallback = self.year, self.fallback
        records = [
            record
            for year in asked_years(asked, X, places.n_rows, source.years, self.lag)
            for record in places.count_coverage(source, year, bands, fallback)
        ]
        report = pd.DataFrame.from_records(records).set_index("year")
        return report.rename(index={-1: pd.NA}) if (report.index < 0).any() else report

    def transform_chunks(
        self, X: Any, *, chunk_rows: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Read the embeddings chunk by chunk into one buffer that is used again.

        Blocks are decoded once a chunk: sort X by place first where chunks are many. Rows without
        a value are counted over all chunks and told after the last one; ``on_missing="raise"``
        raises at the first chunk that has some.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            As in `transform`.
        chunk_rows : int, default=None
            Rows of a chunk. None takes as many as fill 64 MiB.

        Yields
        ------
        rows : slice
            Which rows of X the chunk holds.
        values : float32 array of shape (rows.stop - rows.start, n_features_out)
            Valid until the next chunk is asked for.
        """
        source = self._open()
        places = self._read_places(X)
        n_rows = places.n_rows
        years = asked_years(self.year, X, n_rows, source.years, self.lag)
        bands = band_positions(self.bands, source)
        width = self._width(bands) * len(years)
        if chunk_rows is None:
            chunk_rows = max(1, 2**26 // (4 * width))
        buffer = np.empty((min(chunk_rows, n_rows), width), dtype=np.float32)
        told: list[list[Sampled]] = []
        for first in range(0, n_rows, chunk_rows):
            rows = slice(first, min(first + chunk_rows, n_rows))
            block = buffer[: rows.stop - rows.start]
            parts = [year[rows] for year in years]
            layers = self._fill(source, places.part(rows), parts, bands, block)
            if self.on_missing == "raise":
                self._tell(layers)
            told.append([layer.without_places() for layer in layers])
            yield rows, block
        self._tell([Sampled.joined(layer) for layer in zip(*told, strict=True)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self._feature_names())

    def _feature_names(self) -> list[str]:
        source = self._open()
        names = source.band_names
        chosen = [names[i] for i in band_positions(self.bands, source)]
        if self.return_coherence:
            chosen.append("coherence")
        return [f"{name}{suffix}" for suffix in self._suffixes() for name in chosen]

    def _suffixes(self) -> list[str]:
        listed = None if self.year is None else listed_years(self.year)
        if listed is None or len(listed) == 1:
            return [""]
        return [f"_{year + self.lag}" for year in listed]

    def _open(self) -> Source:
        """Find the source: the one found in `fit` unless another was set since."""
        if getattr(self, "_source_given", None) is self.source:
            return self.source_
        return open_source(self.source)

    def _tell(self, layers: list[Sampled]) -> None:
        tell_missing(layers, self.source, self.on_missing, type(self).__name__)

    def _asked(self) -> Neighbourhood | Zonal | None:
        """Tell what is taken of a place: its pixel where None, pixels around it, or a zone.

        Parameters that contradict each other are an error.
        """
        zonal = Zonal.asked(self.get_params(deep=False))
        return zonal or Neighbourhood.asked(
            self.method, self.window, self.radius, self.statistic, self.min_valid, self.strict
        )

    def _width(self, bands: np.ndarray) -> int:
        """Columns of one year."""
        return bands.size + int(self.return_coherence)

    def _read_places(self, X: Any) -> Places:
        if self.zonal is not None:
            self._validate_params()
        asked = self._asked()
        if isinstance(asked, Zonal):
            return PolygonPlaces(read_polygons(X, type(self).__name__), asked)
        (lon, lat), xp = self._read(X)
        if xp is not np:
            lon, lat = move_to(lon, lat, xp=np, device=None)
        lon, lat = (np.asarray(axis, dtype=np.float64) for axis in (lon, lat))
        return PointPlaces(lon, lat, asked)

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        if self.zonal is None:
            return super()._seen_in_fit(X)
        import shapely

        return tuple(shapely.bounds(read_polygons(X, type(self).__name__)).T)

    def _features_dtype(self, X: Any) -> np.dtype[Any]:
        refuse_aligned_years(self.year)
        asked_years(self.year, X, self._read_places(X).n_rows, self._open().years, self.lag)
        return np.dtype(np.float32)

    def _sample(self, X: Any) -> tuple[np.ndarray, list[Sampled]]:
        source = self._open()
        places = self._read_places(X)
        years = asked_years(self.year, X, places.n_rows, source.years, self.lag)
        bands = band_positions(self.bands, source)
        width = self._width(bands) * len(years)
        refuse_beyond_memory(places.n_rows, width, np.dtype(np.float32), type(self).__name__)
        values = np.empty((places.n_rows, width), dtype=np.float32)
        return values, self._fill(source, places, years, bands, values)

    def _fill(
        self,
        source: Source,
        places: Places,
        years: list[np.ndarray],
        bands: np.ndarray,
        out: np.ndarray,
    ) -> list[Sampled]:
        """Fill ``out`` with one block of columns for each entry of ``years``."""
        reading = Reading(bands, self.missing, self.fallback, self.normalize, self.progress)
        width, layers = self._width(bands), []
        for i, year in enumerate(years):
            # Kernels write rows of a contiguous array.
            block = out if len(years) == 1 else np.empty((places.n_rows, width), np.float32)
            layer = places.sample(source, year, reading, block)
            if not isinstance(self.on_missing, str):
                block[layer.reason != OK] = self.on_missing
            if block is not out:
                out[:, i * width : (i + 1) * width] = block
            layers.append(layer)
        return layers
