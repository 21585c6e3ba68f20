"""predict_raster: a map of what a fitted pipeline predicts for every pixel."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from geofeat._blas import single_threaded_blas
from geofeat._coordinates import is_geometry
from geofeat._progress import progress_bar
from geofeat._warnings import warn_caller
from geofeat.exceptions import CoverageWarning
from geofeat.rasters._candidates import OK, REASONS
from geofeat.rasters._map_file import MapLayout, refuse_existing, written_whole
from geofeat.rasters._map_grid import MapGrid, Tile, map_area, map_grid
from geofeat.rasters._map_model import MapModel
from geofeat.rasters._map_reading import Losses, PixelVectors, read_codes, read_tile
from geofeat.rasters._sampler import EmbeddingRasterSampler
from geofeat.rasters._sampling import band_positions
from geofeat.rasters._sources import open_source
from geofeat.rasters._years import asked_years

# Per pixel: place, candidates and their sorting.
_SEARCH_BYTES = 200
_NAMED_FILES = 3
_YEAR = re.compile(r"_\d{4}$")


class _Plan(NamedTuple):
    """What is read of each pixel, what predicts, and whether that takes places."""

    vectors: PixelVectors
    model: MapModel
    places: bool


def predict_raster(
    pipeline: Any,
    source: Any,
    bounds: Any,
    out: str | os.PathLike[str],
    *,
    year: Any = None,
    takes: Literal["embeddings", "points"] | None = None,
    probabilities: bool | Literal["percent"] = False,
    crs: Any = None,
    resolution: float | Sequence[float] | None = None,
    max_bytes: int = 2**30,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Predict every pixel of an embedding raster and write the map as a cloud-optimized GeoTIFF.

    Blocks of the source are read one after the other, each once where the map keeps the source's
    pixels, and predicted on the threads the process may use. A pixel without an embedding, or
    outside a polygon, is nodata in the map.

    Parameters
    ----------
    pipeline : fitted estimator
        A Pipeline that begins with an `EmbeddingRasterSampler`, as fitted on points: the sampler's
        year, bands, normalization and treatment of missing bands are kept, the other steps get the
        embeddings of the pixels. Of a fitted search, its best estimator counts. For everything
        else say what it ``takes``.
    source : source, path, xarray.DataArray or None
        Where the embeddings lie, as for `EmbeddingRasterSampler`. None: the sampler's own source.
    bounds : (west, south, east, north), polygon, GeoDataFrame, GeoSeries or None
        Where the map is wanted. Numbers are degrees, and the map is the smallest rectangle of
        pixels that holds the box; where ``west > east`` it crosses the antimeridian. Polygons, in
        degrees or in the CRS of their frame, leave pixels outside empty. None: all of the source,
        if that is one file or array.
    out : path-like
        File to write, .tif or .tiff. It appears whole or not at all.
    year : int or date, default=None
        Layer to map. None: the sampler's year, or the only one of the source.
    takes : {"embeddings", "points"}, default=None
        What an estimator that does not begin with a sampler was fitted on. "embeddings": the
        columns of the source; those it knows by name, else all of them in order. "points":
        longitude and latitude, as for any transformer of places; pixels whose first band is missing
        in ``source`` stay empty.
    probabilities : {False, True, "percent"}, default=False
        Of a classifier: one band of class codes; the probability of each class as a float32 band;
        or these as whole percents in uint8.
    crs : str, int or pyproj.CRS, default=None
        Coordinate reference system of the map. None: that of the source's only file, or of the
        file that serves most of the bounds.
    resolution : float or (float, float), default=None
        Width and height of a pixel in units of the CRS. None: the source's pixels, or square ones
        of their size in another CRS.
    max_bytes : int, default=2**30
        Bound of the memory for pixels that are worked on at a time, besides the block of the
        source that each thread decodes. Where it holds less than one block of pixels, blocks are
        decoded more than once.
    overwrite : bool, default=False
        Whether a file of that name may be replaced.
    progress : bool, default=None
        Whether to show a progress bar. None: on a terminal, when it takes longer than 2 s.

    Returns
    -------
    path : Path
        The file written.

    Raises
    ------
    NotFittedError
        The pipeline is not fitted.
    ValueError
        It is not said what the estimator takes; columns are not those of its fit; there is no
        pixel.
    FileExistsError
        There is a file of that name, and ``overwrite`` is False.

    Warns
    -----
    CoverageWarning
        When no pixel at all has a value, or files that the source names are not there.

    See Also
    --------
    EmbeddingRasterSampler : Embeddings at points.
    embed_grid : Features of coordinates as a map.

    Notes
    -----
    Class codes count from 1 in the order of ``classes_``, uint8 up to 255 classes and uint16
    beyond; 0 is nodata. The labels stand in the band's metadata as ``CLASS_1``, ``CLASS_2``, ...,
    and a colour table is made up. Probabilities and numbers are float32 with NaN for nodata;
    percents have 255. The map is north-up whichever way the source lies. A pixel of another grid
    than the source's gets the vector of the source's pixel that contains its centre. Missing
    pixels are nodata whatever the sampler's ``on_missing`` says.

    Estimators are called on several threads at a time, each with one thread of joblib and BLAS.
    Random forests and extra trees that were grown to pure leaves are read through a compiled
    kernel, whose votes are those of ``predict`` and ``predict_proba``.

    Examples
    --------
    >>> import numpy as np, tempfile, xarray as xr
    >>> from pathlib import Path
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from geofeat import EmbeddingRasterSampler, predict_raster
    >>> raster = xr.DataArray(
    ...     np.array([[[1, 2, 9], [8, 1, np.nan]]], dtype=np.float32),
    ...     coords={"band": ["height"], "lat": [50.5, 49.5], "lon": [7.5, 8.5, 9.5]},
    ...     dims=("band", "lat", "lon"),
    ... )
    >>> model = make_pipeline(EmbeddingRasterSampler(raster), KNeighborsClassifier(1))
    >>> model = model.fit([[7.5, 50.5], [9.5, 50.5]], ["low", "high"])
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = predict_raster(model, None, None, Path(folder.name) / "map.tif")
    >>> import rasterio
    >>> with rasterio.open(path) as file:
    ...     file.tags(1)["CLASS_1"], file.read(1)
    ('high', array([[2, 2, 1], [1, 2, 0]], dtype=uint8))
    >>> folder.cleanup()
    """
    path = _checked_path(out, overwrite)
    if probabilities not in (False, True, "percent"):
        raise ValueError(f"probabilities must be False, True or 'percent', got {probabilities!r}")
    plan = _plan(pipeline, source, year, takes, probabilities)
    area = map_area(bounds)
    grid = map_grid(plan.vectors.source, area, plan.vectors.years[0], crs, resolution)
    tags = {"TIFFTAG_SOFTWARE": "geofeat"}
    losses = Losses()
    with (
        written_whole(path, grid, _layout(plan.model), tags, overwrite=overwrite) as writer,
        progress_bar(grid.width * grid.height, "predicting", "pixel", progress) as bar,
        single_threaded_blas(),
    ):
        mask = None if area is None or not area.masks else area.in_crs(grid.crs)
        for tile in grid.tiles(_pixels_at_once(plan, max_bytes)):
            writer.put(tile, _predict_tile(plan, grid, tile, mask, losses))
            bar.update(tile.height * tile.width)
    _tell(losses, path)
    return path


def _predict_tile(plan: _Plan, grid: MapGrid, tile: Tile, mask: Any, losses: Losses) -> np.ndarray:
    """Layers of one piece of the map, shape (layers, height, width)."""
    model = plan.model
    size = tile.height * tile.width
    values = np.full((model.n_layers, size), model.nodata, dtype=model.dtype)
    wanted = np.arange(size) if mask is None else _pixels_inside(mask, grid, tile)
    if wanted.size:
        coded = None
        codes = read_codes(plan.vectors, grid, tile, wanted, losses, model.coded)
        if codes is not None:
            rows, valid, coded = codes
        else:
            rows, valid = read_tile(plan.vectors, grid, tile, wanted, losses)
        if plan.places:
            row, col = np.divmod(wanted, tile.width)
            rows = np.column_stack(grid.lonlat(row + tile.row, col + tile.col))
        which = np.flatnonzero(valid)
        if wanted.size == size:
            model.fill(rows, which, values, coded)
        else:
            found = np.empty((model.n_layers, wanted.size), dtype=model.dtype)
            model.fill(rows, which, found, coded)
            values[:, wanted[which]] = found[:, which]
    return values.reshape(-1, tile.height, tile.width)


def _pixels_inside(mask: Any, grid: MapGrid, tile: Tile) -> np.ndarray:
    """Pixels of a tile whose centre lies in a geometry."""
    from rasterio import Affine
    from rasterio.features import geometry_mask

    corner = Affine(*grid.transform) @ Affine.translation(tile.col, tile.row)
    inside = geometry_mask([mask], (tile.height, tile.width), corner, invert=True)
    return np.flatnonzero(inside)


def _pixels_at_once(plan: _Plan, max_bytes: int) -> int:
    if max_bytes < 2**20:
        raise ValueError(f"max_bytes must be 2**20 or more, got {max_bytes}")
    a_pixel = _SEARCH_BYTES + 4 * plan.vectors.width + 16 * plan.model.n_layers
    return max(1, max_bytes // a_pixel)


def _plan(
    pipeline: Any, source: Any, year: Any, takes: str | None, probabilities: bool | str
) -> _Plan:
    if takes not in (None, "embeddings", "points"):
        raise ValueError(f"takes must be 'embeddings', 'points' or None, got {takes!r}")
    pipeline = getattr(pipeline, "best_estimator_", pipeline)
    first = pipeline.steps[0][1] if isinstance(pipeline, Pipeline) else None
    if isinstance(first, EmbeddingRasterSampler):
        if takes is not None:
            raise ValueError(
                "the pipeline begins with a sampler and takes points: leave takes=None"
            )
        return _plan_of_sampler(pipeline, first, source, year, probabilities)
    if takes is None:
        raise ValueError(
            "say what the estimator was fitted on: takes='embeddings' for the columns of the "
            "source, takes='points' for longitude and latitude. Only a Pipeline whose first step "
            "is an EmbeddingRasterSampler tells it by itself."
        )
    if source is None:
        raise ValueError("source=None stands for the sampler's own source, and there is none")
    opened = open_source(source)
    model = MapModel(pipeline, probabilities)
    years = _years(opened, year, 0)
    if takes == "points":
        _require_two_columns(model)
        return _Plan(PixelVectors(opened, years, np.arange(1)), model, True)
    vectors = PixelVectors(opened, years, _bands_of(pipeline, model, opened.band_names))
    return _Plan(vectors, model, False)


def _plan_of_sampler(
    pipeline: Pipeline,
    sampler: EmbeddingRasterSampler,
    source: Any,
    year: Any,
    probabilities: bool | str,
) -> _Plan:
    if len(pipeline.steps) < 2:
        raise TypeError("the pipeline is a sampler alone; a map needs an estimator behind it")
    changed: dict[str, Any] = {"on_missing": "nan"}
    changed |= {} if year is None else {"year": year}
    opened = sampler._open() if source is None else open_source(source)
    years = _years(opened, year if year is not None else sampler.year, sampler.lag)
    used = type(sampler)(**{**sampler.get_params(deep=False), **changed, "source": opened})
    if used.zonal is not None:
        raise ValueError("the sampler takes polygons, a pixel is none: a map needs zonal=None")
    rest = pipeline[1:] if len(pipeline.steps) > 2 else pipeline.steps[1][1]
    vectors = PixelVectors(
        opened,
        years,
        band_positions(used.bands, opened),
        sampler.missing,
        sampler.fallback,
        sampler.normalize,
        None if used._asked() is None else used,
    )
    _require_width(rest, vectors.width)
    model = MapModel(rest, probabilities)
    _require_names(model, used.get_feature_names_out().tolist())
    return _Plan(vectors, model, False)


def _years(source: Any, year: Any, lag: int) -> list[int]:
    """Layers of a map: one, or several whose columns lie side by side."""
    if (
        isinstance(year, str)
        or is_geometry(year)
        or (hasattr(year, "__len__") and not isinstance(year, list | tuple))
    ):
        raise ValueError(
            "the sampler takes the year of each row from a column or an array, a pixel has none: "
            "give the year of the map, year=..."
        )
    return [int(one[0]) for one in asked_years(year, None, 1, source.years, lag)]


def _bands_of(estimator: Any, model: MapModel, names: Sequence[str]) -> np.ndarray:
    """Positions of the bands that an estimator takes: by its names, else all of them."""
    if model.names is None:
        _require_width(estimator, len(names))
        return np.arange(len(names))
    unknown = [name for name in model.names if name not in names]
    if unknown:
        raise ValueError(
            f"the estimator was fitted on the columns {unknown[:5]}, the source has the bands "
            f"{list(names)[:5]}...: map it through a pipeline that begins with the sampler"
        )
    return np.array([list(names).index(name) for name in model.names])


def _require_width(estimator: Any, width: int) -> None:
    expected = getattr(estimator, "n_features_in_", width)
    if expected != width:
        raise ValueError(
            f"the estimator was fitted on {expected} columns, the source gives {width}: choose the "
            "bands with a pipeline that begins with EmbeddingRasterSampler(..., bands=[...])"
        )


def _require_names(model: MapModel, names: list[str]) -> None:
    """Refuse columns of other names than those of the fit; only their years may be others."""
    fitted = model.names
    if fitted is None or [_YEAR.sub("", n) for n in fitted] == [_YEAR.sub("", n) for n in names]:
        return
    raise ValueError(
        f"the estimator was fitted on the columns {', '.join(fitted[:3])}, ..., the source gives "
        f"{', '.join(names[:3])}, ...: map the product that it was fitted on"
    )


def _require_two_columns(model: MapModel) -> None:
    if model.names is not None and len(model.names) != 2:
        raise ValueError(
            f"the pipeline was fitted on the columns {model.names[:5]}, a pixel has longitude and "
            "latitude only"
        )


def _layout(model: MapModel) -> MapLayout:
    if model.classes is None:
        return MapLayout(1, model.dtype, model.nodata, ["prediction"])
    labels = [str(label) for label in model.classes]
    if model.probabilities:
        return MapLayout(model.n_layers, model.dtype, model.nodata, labels)
    return MapLayout(1, model.dtype, model.nodata, ["class"], labels)


def _checked_path(out: str | os.PathLike[str], overwrite: bool) -> Path:
    path = Path(out)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"out is {str(path)!r}, expected a name that ends in .tif or .tiff")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist")
    refuse_existing(path, overwrite)
    return path


def _tell(losses: Losses, path: Path) -> None:
    """Warn of files that are not there, and of a map without any value."""
    parts = []
    if not losses.reasons[OK]:
        why = ", ".join(
            f"{count} {name}" for name, count in zip(REASONS, losses.reasons, strict=True) if count
        )
        parts.append(f"no pixel has a value ({why or 'none lies in the polygon'})")
    for files, what in (
        (list(losses.absent), "file(s) that should be there are not"),
        (list(losses.beyond_limit), "file(s) have values beyond max_abs"),
    ):
        if files:
            more = ", ..." if len(files) > _NAMED_FILES else ""
            parts.append(f"{len(files)} {what}: {', '.join(files[:_NAMED_FILES])}{more}")
    if parts:
        warn_caller(f"predict_raster: {path}: {'; '.join(parts)}", CoverageWarning)
