"""Files in the formats of AlphaEarth and TESSERA that show the simulated landscape."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import geofeat.datasets._landscape as landscape
import geofeat.datasets._product_files as products
from geofeat._tessera_grid import tessera_grid
from geofeat.datasets._simulated_embeddings import LatentSurface, embed, random_model, unit_length

if TYPE_CHECKING:
    import geopandas

EPSGS = (32631, 32632)
FILE_PIXELS = 512
BLOCK_PIXELS = 256
TILE_LONS = (5.95, 6.05)
TILE_LAT = 52.05
# How well each product sees the nine traits (canopy height is AlphaEarth's, roughness TESSERA's
# strength), the three site variables and the three kinds of open land.
_ALPHAEARTH_SIGHT = np.array([1.0, 0.9, 0.6, 0.6, 1.0, 1.0, 0.9, 1.3, 0.6, *[1.0] * 6])
_TESSERA_SIGHT = np.array([0.9, 0.8, 1.0, 1.0, 0.9, 0.8, 0.8, 0.1, 1.3, *[1.0] * 6])
# Published TESSERA components reach some tens.
_TESSERA_UNIT = 2.5


def write_simulated_alphaearth(
    annual: Path, surface: LatentSurface, years: tuple[int, ...], seed: np.random.SeedSequence
) -> None:
    """Write one file a zone and year below a folder ``.../v1/annual``, and their index.

    Every file covers its half of the landscape and, since the meridian is not parallel to the
    UTM grid, a strip beyond it, which the index leaves to the other zone as the product does.
    """
    model_seed, *file_seeds = seed.spawn(1 + len(years) * len(EPSGS))
    model = random_model(
        model_seed,
        n_dimensions=len(products.ALPHAEARTH_BANDS),
        latent_weights=_ALPHAEARTH_SIGHT,
        n_years=len(years),
        n_parcels=int(surface.parcel.max()) + 1,
        parcel_spread=0.30,
        pixel_spread=0.45,
        grain=0.6,
    )

    def write(number: int) -> None:
        year_number, zone_number = divmod(number, len(EPSGS))
        year, epsg = years[year_number], EPSGS[zone_number]
        west, south = _file_corner(zone_number)
        row, col, inside = _pixel_cells(epsg, west, south)
        vectors = np.full((len(products.ALPHAEARTH_BANDS), row.size), np.nan, dtype=np.float32)
        seen = embed(model, surface.at(row[inside], col[inside]), year_number, file_seeds[number])
        vectors[:, inside] = unit_length(seen)
        stored = products.quantize_alphaearth(vectors).reshape(-1, FILE_PIXELS, FILE_PIXELS)
        name = f"simulated{year}z{epsg % 100}-0000000000-0000000000.tiff"
        products.write_alphaearth_file(
            annual / str(year) / f"{epsg % 100}N" / name,
            stored,
            epsg=epsg,
            west=west,
            south=south,
            block_size=BLOCK_PIXELS,
        )

    # Arithmetic, random numbers and compression all run without the interpreter's lock.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(len(file_seeds))))
    products.write_alphaearth_index(annual)


def _file_corner(zone_number: int) -> tuple[float, float]:
    """South-west corner, on whole pixels, of the file that covers the landscape's half."""
    from rasterio.warp import transform_bounds

    half = landscape.N_COLS // 2
    rows = np.array([0, landscape.N_ROWS])
    cols = half * np.array([zone_number, zone_number + 1])
    lon, lat = landscape.lattice_lonlat(rows, cols)
    left, bottom, right, top = transform_bounds(
        "EPSG:4326", f"EPSG:{EPSGS[zone_number]}", lon[0], lat[0], lon[1], lat[1]
    )
    size = FILE_PIXELS * products.PIXEL_METRES
    corner = ((left + right - size) / 2, (bottom + top - size) / 2)
    x, y = (round(v / products.PIXEL_METRES) * products.PIXEL_METRES for v in corner)
    return x, y


def _pixel_cells(epsg: int, west: float, south: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice cell below the centre of each pixel of a file, row by row from the south."""
    from pyproj import Transformer

    centre = (np.arange(FILE_PIXELS) + 0.5) * products.PIXEL_METRES
    y, x = np.meshgrid(south + centre, west + centre, indexing="ij")
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)
    return landscape.lattice_cells(*to_lonlat.transform(x.ravel(), y.ravel()))


def write_simulated_tessera(
    root: Path,
    surface: LatentSurface,
    plots: geopandas.GeoDataFrame,
    years: tuple[int, ...],
    seed: np.random.SeedSequence,
) -> None:
    """Write two tiles a year, with values around the plots only, and their registries."""
    model_seed, *tile_seeds = seed.spawn(1 + len(years) * len(TILE_LONS))
    model = random_model(
        model_seed,
        n_dimensions=products.TESSERA_BANDS,
        latent_weights=_TESSERA_SIGHT,
        n_years=len(years),
        n_parcels=int(surface.parcel.max()) + 1,
        parcel_spread=0.30,
        pixel_spread=0.45,
        grain=0.8,
    )
    lon, lat = plots.geometry.x.to_numpy(), plots.geometry.y.to_numpy()

    def write(number: int) -> dict[str, Any]:
        year_number, tile_number = divmod(number, len(TILE_LONS))
        centre = TILE_LONS[tile_number], TILE_LAT
        here = np.abs(lon - centre[0]) < 0.05
        pixels, cells = _surroundings(centre, lon[here], lat[here])
        vectors = _TESSERA_UNIT * embed(model, surface.at(*cells), year_number, tile_seeds[number])
        return products.write_tessera_tile(root, *centre, years[year_number], pixels, vectors.T)

    for tile_lon in TILE_LONS:
        products.write_tessera_landmask(root, tile_lon, TILE_LAT)
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(write, range(len(tile_seeds))))
    products.write_tessera_registry(root, records)


def _surroundings(
    centre: tuple[float, float], lon: np.ndarray, lat: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Pixels of a tile within one pixel of a point, in file order, and their lattice cells."""
    from pyproj import Transformer

    grid = tessera_grid(*centre)
    from_lonlat = Transformer.from_crs(4326, grid.epsg, always_xy=True)
    col, row = _apply(~grid.transform, *from_lonlat.transform(lon, lat))
    step = np.arange(-1, 2)
    row = (np.floor(row).astype(np.int64)[:, None, None] + step[:, None]).repeat(3, axis=2)
    col = (np.floor(col).astype(np.int64)[:, None, None] + step[None, :]).repeat(3, axis=1)
    touched = np.unique(row.ravel() * grid.width + col.ravel())
    row, col = np.divmod(touched, grid.width)
    x, y = _apply(grid.transform, col + 0.5, row + 0.5)
    cells = landscape.lattice_cells(*from_lonlat.transform(x, y, direction="INVERSE"))
    return (row, col), cells[:2]


def _apply(transform: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Affine transform of many points; the product with a pair is deprecated in affine 3."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return x * a + y * b + c, x * d + y * e + f
