"""The commands that read a file of points: sample, embed, coverage."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from geofeat._point_files import read_points, write_features
from geofeat._shown_tables import human_bytes, show_table


class FeatureType(StrEnum):
    """How features are stored."""

    float32 = "float32"
    float16 = "float16"
    int8 = "int8"


Points = Annotated[
    Path,
    typer.Argument(
        help="Points: GeoParquet, GeoPackage, GeoJSON, FlatGeobuf, shapefile; CSV or plain parquet "
        "with columns lon and lat, or x and y with --crs."
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="File to write: .parquet, .gpkg, .geojson or .csv."),
]
Crs = Annotated[
    str | None, typer.Option(help="CRS of columns x and y, such as EPSG:32632.", show_default=False)
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Columns of the points to keep, with commas between; all by default.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        help="Continue what an interrupted call began (parquet), and leave a finished file alone."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no report.")]
Dtype = Annotated[FeatureType, typer.Option(help="How features are stored.")]
SourceName = Annotated[
    str,
    typer.Option(
        "--source",
        "-s",
        help="aef or tessera for the published data, or a path or URL of rasters or an index.",
    ),
]
Year = Annotated[
    list[str] | None,
    typer.Option(
        "--year",
        "-y",
        help="Year; several times for columns of several years; or the name of a column of years.",
        show_default=False,
    ),
]
Lag = Annotated[int, typer.Option(help="Added to every year.")]
Fallback = Annotated[
    str | None,
    typer.Option(help="nearest: where the year is missing take the nearest.", show_default=False),
]
Bands = Annotated[
    str | None,
    typer.Option(
        help="Names or positions of bands, with commas between; all by default.",
        show_default=False,
    ),
]


def sample(  # noqa: PLR0913, PLR0917 - one an option
    points: Points,
    source: SourceName,
    out: Out,
    year: Year = None,
    bands: Bands = None,
    method: Annotated[
        str | None, typer.Option(help="nearest (default) or bilinear.", show_default=False)
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="So many pixels across around a point, odd.", show_default=False),
    ] = None,
    radius: Annotated[
        float | None, typer.Option(help="Pixels within so many metres.", show_default=False)
    ] = None,
    statistic: Annotated[
        str | None,
        typer.Option(help="mean (default), std or median of the window.", show_default=False),
    ] = None,
    normalize: Annotated[
        str | None, typer.Option(help="l2: vectors of length 1.", show_default=False)
    ] = None,
    lag: Lag = 0,
    fallback: Fallback = None,
    dtype: Dtype = FeatureType.float32,
    columns: Columns = None,
    crs: Crs = None,
    resume: Resume = True,
    quiet: Quiet = False,
) -> None:
    """Read embeddings of rasters at points.

    AlphaEarth, TESSERA, or any raster. The file written holds the points, the embeddings and a
    column "reason", which says why a row has none.
    """
    sampler = _sampler(
        source,
        year=_years(year),
        lag=lag,
        fallback=fallback,
        bands=_bands(bands),
        method=method,
        window=window,
        radius=radius,
        statistic=statistic,
        normalize=normalize,
    )
    _extract(points, sampler, out, columns, dtype, crs, resume, quiet)


def embed(
    points: Points,
    model: Annotated[str, typer.Option("--model", "-m", help="A name of `geofeat models`.")],
    out: Out,
    weights: Annotated[
        Path | None, typer.Option(help="File of weights instead of the published ones.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Torch device, such as cuda.", show_default=False)
    ] = None,
    dtype: Dtype = FeatureType.float32,
    columns: Columns = None,
    crs: Crs = None,
    resume: Resume = True,
    quiet: Quiet = False,
) -> None:
    """Compute a pretrained location encoder.

    The file written holds the points and their features.
    """
    import geofeat
    from geofeat.embedders._registry import find_model

    embedder = getattr(geofeat, find_model(model).embedder)
    given = {"weights": weights, "device": device}
    _extract(
        points,
        embedder(model, **{name: value for name, value in given.items() if value is not None}),
        out,
        columns,
        dtype,
        crs,
        resume,
        quiet,
    )


def coverage(
    points: Points,
    source: SourceName,
    year: Year = None,
    bands: Bands = None,
    lag: Lag = 0,
    fallback: Fallback = None,
    crs: Crs = None,
) -> None:
    """Tell what there is to read at points.

    Points with and without a file, blocks and bytes to be read; no pixel is read.
    """
    asked = _years(year)
    sampler = _sampler(source, year=asked, lag=lag, fallback=fallback, bands=_bands(bands))
    report = sampler.coverage(read_points(points, crs, asked if isinstance(asked, str) else None))
    report["bytes"] = [human_bytes(count) for count in report["bytes"]]
    show_table(report)


def _sampler(source: str, **options: Any) -> Any:
    """Build the sampler with the options that were given."""
    from geofeat import AlphaEarthSource, EmbeddingRasterSampler, TesseraSource

    published = {"aef": AlphaEarthSource, "alphaearth": AlphaEarthSource, "tessera": TesseraSource}
    opened: Any = published[source]() if source in published else source
    given = {name: value for name, value in options.items() if value is not None}
    return EmbeddingRasterSampler(opened, on_missing="nan", **given)


def _extract(
    points: Path,
    transformer: Any,
    out: Path,
    columns: str | None,
    dtype: FeatureType,
    crs: str | None,
    resume: bool,
    quiet: bool,
) -> None:
    report = write_features(
        points,
        transformer,
        out,
        columns=None if columns is None else _words(columns),
        dtype=dtype.value,
        crs=crs,
        resume=resume,
        progress=False if quiet else None,
    )
    if not quiet:
        counts = ", ".join(f"{count} {reason}" for reason, count in report.counts.items() if count)
        typer.echo(f"{report.rows} rows ({counts}) -> {out}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _years(given: list[str] | None) -> int | list[int] | str | None:
    """Year of all rows, several years, or the name of a column."""
    if not given:
        return None
    if all(word.isdigit() for word in given):
        years = [int(word) for word in given]
        return years[0] if len(years) == 1 else years
    if len(given) > 1:
        raise typer.BadParameter(f"--year takes years or one column, got {', '.join(given)}")
    return given[0]


def _bands(given: str | None) -> list[str | int] | None:
    if given is None:
        return None
    return [int(word) if word.isdigit() else word for word in _words(given)]
