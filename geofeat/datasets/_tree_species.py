"""load_tree_species: a simulated forest inventory with series and embeddings of two products."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

import geofeat.datasets._landscape as landscape
import geofeat.datasets._phenology as phenology
from geofeat._versions import cache_folder
from geofeat.datasets._simulated_embeddings import latent_surface
from geofeat.datasets._simulated_rasters import (
    write_simulated_alphaearth,
    write_simulated_tessera,
)

if TYPE_CHECKING:
    import geopandas

FOLDER_NAME = "tree_species_simulated_v1"
YEARS = (2022, 2023)
N_PLOTS = 2000
_SEED = 20220103
_MANIFEST = "manifest.json"
_STALE_SECONDS = 24 * 3600

_DESCR = """\
SIMULATED tree species plots
----------------------------

SIMULATED: no plot, series or embedding here was ever measured, and no score on them says how well
a method works in a real forest. The sample exists to run pipelines offline, in the files and
shapes of the real products.

What is simulated: a landscape of 9.6 km x 4.8 km across the meridian of 6 degrees east, where UTM
zones 31 and 32 meet. Parcels of some 5 ha carry one main species, chosen by the site (moisture,
elevation, fertility), the neighbourhood and chance, and an admixture of another; a quarter is
grassland, heath and water. Nine traits (winter and summer cover, green-up, senescence, brightness
in three parts of the spectrum, height, roughness) follow from the species, the site, slow drifts
over the region, the parcel and the single plot. Everything else is derived from that one land
surface, with noise of its own:

plots : GeoDataFrame, EPSG:4326
    {n_plots} forest plots in random order. Columns plot, species, parcel (parcel number, a natural
    group for cross-validation), zone ("31N" or "32N") and geometry.
{counts}
target : ndarray of str, shape (n_plots,)
    The dominant species of each plot; target_names lists the species, most common first.
series : float32 ndarray, shape (n_plots, {n_times}, 10)
    Sentinel-2-like surface reflectance, 0..1, every fifth day of {years}; NaN in all bands where a
    cloud hides the plot, about 55 % of the observations; some haze goes undetected. times holds
    the dates (datetime64[D]), band_names the bands.
alphaearth : Path
    aef_index.parquet of a folder in AlphaEarth's format: 64 bands of int8, south-up, ZSTD blocks,
    one file a zone and year, {years}. Its paths are relative to the index's folder. The files have
    512 x 512 pixels in blocks of 256 (published ones: 8192 in blocks of 1024, with overviews); all
    plots lie inside, pixels beyond the landscape are nodata.
tessera : Path
    Root folder of two 0.1 degree tiles a year in TESSERA's format, int8 with scales, landmasks and
    registries as geotessera 0.7 reads them. Only the pixels within one pixel of a plot hold a
    value; all others are zero, which in this product means missing.
"""


def load_tree_species(*, cache_dir: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the SIMULATED tree species sample, building it at first use.

    About 2000 plots of seven species around a border of UTM zones, two years of cloudy
    Sentinel-2-like series, and embeddings in the file formats of AlphaEarth and TESSERA, all from
    one simulated landscape. Nothing in it was measured: it is for trying pipelines, not for
    claims about forests.

    Building takes a few seconds and about 120 MB on disk; the result is the same everywhere.

    Parameters
    ----------
    cache_dir : path-like, default=None
        Folder to keep the sample in. None takes the environment variable ``GEOFEAT_CACHE`` or the
        user's cache folder.

    Returns
    -------
    sample : Bunch
        ``plots`` (GeoDataFrame), ``target`` and ``target_names`` (species), ``series``
        (n_plots, n_times, n_bands) float32 reflectance with NaN for clouds, ``times``
        (datetime64[D]), ``band_names``, ``years``, ``alphaearth`` (path of the index of its
        files), ``tessera`` (path of the root folder of its tiles) and ``DESCR``, which tells how
        each was simulated.

    Examples
    --------
    >>> from geofeat.datasets import load_tree_species
    >>> sample = load_tree_species()
    >>> sample.DESCR.splitlines()[0]
    'SIMULATED tree species plots'
    >>> sample.series.shape
    (2000, 146, 10)
    """
    parent = cache_folder() if cache_dir is None else Path(cache_dir)
    folder = parent / FOLDER_NAME
    if not _is_complete(folder):
        _build_beside(folder)
    return _load(folder)


def _is_complete(folder: Path) -> bool:
    """Whether every file that the manifest lists is there in its size."""
    try:
        sizes = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _build_beside(folder: Path) -> None:
    """Build in a new folder and give it its name when it is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder)
    temporary = folder.with_name(f"{folder.name}.tmp-{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        _build(temporary)
        if folder.exists() and not _is_complete(folder):
            broken = folder.with_name(f"{folder.name}.tmp-{uuid.uuid4().hex}")
            folder.replace(broken)
            shutil.rmtree(broken, ignore_errors=True)
        try:
            temporary.replace(folder)
        except OSError:
            if not _is_complete(folder):  # else another process was faster: its build is ours
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Remove what builds that were killed a day ago or earlier left behind."""
    for leftover in folder.parent.glob(f"{folder.name}.tmp-*"):
        if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def _build(folder: Path) -> None:
    """Simulate the landscape and write everything that is derived from it."""
    seeds = np.random.SeedSequence(_SEED).spawn(6)
    land = landscape.simulate_landscape(seeds[0])
    traits = phenology.simulate_traits(land, seeds[1])
    plots, cells = _place_plots(land, seeds[2])
    plots.to_parquet(folder / "plots.parquet", index=False)
    metres = np.column_stack(cells[::-1]) * landscape.CELL_METRES
    series = phenology.simulate_series(
        traits[:, *cells].T.astype(float),
        land.site[2][cells].astype(float),
        metres,
        phenology.observation_times(YEARS),
        seeds[3],
    )
    np.save(folder / "series.npy", series, allow_pickle=False)
    surface = latent_surface(land, traits)
    write_simulated_alphaearth(folder / "alphaearth" / "v1" / "annual", surface, YEARS, seeds[4])
    write_simulated_tessera(folder / "tessera", surface, plots, YEARS, seeds[5])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    (folder / _MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")


def _place_plots(
    land: landscape.Landscape, seed: np.random.SeedSequence
) -> tuple[geopandas.GeoDataFrame, tuple[np.ndarray, np.ndarray]]:
    """Random plots in the forest, and the lattice cells they lie in."""
    import geopandas

    rng = np.random.default_rng(seed)
    # Three cells within the border of the landscape, so that every pixel around a plot has data.
    inner = np.zeros(land.cover.shape, dtype=bool)
    inner[3:-3, 3:-3] = True
    forest = np.flatnonzero(inner & (land.cover == landscape.FOREST))
    chosen = rng.choice(forest, size=N_PLOTS, replace=False)
    row, col = np.unravel_index(chosen, land.cover.shape)
    # Away from the cell's border, so that no rounding puts a plot into the next one.
    within = rng.uniform(0.02, 0.98, size=(2, N_PLOTS))
    lon, lat = landscape.lattice_lonlat(row + within[0], col + within[1])
    table = {
        "plot": [f"plot{number:04d}" for number in range(N_PLOTS)],
        "species": np.array(landscape.SPECIES)[land.dominant[row, col]],
        "parcel": land.parcel[row, col],
        "zone": np.where(lon < landscape.SEAM_LON, "31N", "32N"),
    }
    points = geopandas.points_from_xy(lon, lat)
    return geopandas.GeoDataFrame(table, geometry=points, crs="EPSG:4326"), (row, col)


def _load(folder: Path) -> Bunch:
    import geopandas

    plots = geopandas.read_parquet(folder / "plots.parquet")
    series = np.load(folder / "series.npy", allow_pickle=False)
    times = phenology.observation_times(YEARS)
    names, counts = np.unique(plots["species"], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    descr = _DESCR.format(
        n_plots=len(plots),
        n_times=len(times),
        years=" and ".join(map(str, YEARS)),
        counts="\n".join(f"    {names[i]}: {counts[i]}" for i in order),
    )
    return Bunch(
        plots=plots,
        target=plots["species"].to_numpy(dtype=str),
        target_names=names[order].astype(str),
        series=series,
        times=times,
        band_names=list(phenology.BAND_NAMES),
        years=YEARS,
        alphaearth=folder / "alphaearth" / "v1" / "annual" / "aef_index.parquet",
        tessera=folder / "tessera",
        DESCR=descr,
    )
