"""ZarrSource: AlphaEarth's mosaic, TESSERA's stores, and any Zarr with a grid."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from geofeat._threads import run_tasks
from geofeat.exceptions import RasterMismatchError, SourceError
from geofeat.rasters._alphaearth import AlphaEarthSource
from geofeat.rasters._areas import Areas
from geofeat.rasters._areas_in_cubes import areas_in_cubes
from geofeat.rasters._candidates import NO_LAYER_YEAR, Candidates
from geofeat.rasters._cube_reader import CubeReader
from geofeat.rasters._cubes import Cube, locate_in_cubes, refuse_large_chunks, searched_points
from geofeat.rasters._decoding import (
    ZERO_VECTORS,
    BandDecoder,
    band_decoder,
    check_rule,
    decoded_names,
    stored_bands,
)
from geofeat.rasters._source_state import ImmutableSource
from geofeat.rasters._zarr_cubes import ZarrCube, read_zarr_cube, zone_groups
from geofeat.rasters._zarr_store import open_node, reading_metadata, shown_address

PUBLIC_STORES = {"aef-mosaic": "tge-labs/aef-mosaic", "tessera-v1": "tessera/tessera/zarr/v1"}
_SCALED = "tessera"
_AEF_NAMES = tuple(f"A{band:02d}" for band in range(64))
# Groups looked at at a time over a network, where nearly all the time is waiting.
_IN_FLIGHT = 32
# TESSERA's tiles of 0.1 degrees reach over the edge of their zone, by less than one tile.
_SEAM_DEGREES = 0.1


class _Contents(NamedTuple):
    """Cubes of the store, and the position of each zone's where there is one a zone."""

    cubes: list[ZarrCube]
    of_zone: np.ndarray | None


class ZarrSource(ImmutableSource):
    """An array of Zarr, or one for each UTM zone, for `EmbeddingRasterSampler`.

    Only chunks that hold points are read, each once a call; of a sharded array the chunks inside
    the shards. Over a network that is the index of a shard and the bytes of its chunks; both stay
    in the cache of remote files.

    Parameters
    ----------
    store : str, path-like or zarr.abc.store.Store
        "aef-mosaic", AlphaEarth resampled to one grid in degrees; "tessera-v1", TESSERA in its UTM
        zones; a folder; an address (https, s3, gs); or a store of zarr-python.
    array : str, default=None
        Name of the array with axes (band, y, x) or (time, band, y, x); None takes ``embeddings``,
        or the only one.
    crs : str or int, default=None
        Coordinate reference system where no attribute (``proj:code``, a grid mapping, ``crs``)
        tells it.
    decode : {None, "none", "scale_offset", "aef", "esd", "tessera"}, default=None
        As in `RasterSource`; "tessera" multiplies by the array ``scales`` beside the bytes. None:
        "tessera" where there are scales, "aef" for bytes whose bands are called A00 to A63,
        "scale_offset" where attributes ``scale_factor`` or ``add_offset`` say so, else "none".
    nodata : float or "zeros", default=None
        As in `RasterSource`. None: the attribute ``_FillValue``, or the fill value of the array
        unless that is 0.
    max_abs : float, default=None
        Vectors of bytes times scales with a larger magnitude are missing, with a warning.
    base_url : str, default=None
        Where a mirror of Source Cooperative holds the two public stores; None: there itself.
    max_block_bytes : int, default=2**28
        Largest chunk that may be decoded; an array with larger ones raises `LimitError`.

    Attributes
    ----------
    band_names : tuple of str
        ``A00`` to ``A63``, ``tessera_000`` to ``tessera_127``, what the store calls its bands, or
        ``band_001``, ``band_002``, ...
    years : tuple of int or None
        Years of the time axis.

    Notes
    -----
    In a store of one group a zone (``utm01`` to ``utm60``) the point's own 6 degree zone serves it.
    Where that zone has no value, a point within 0.1 degrees of the seam takes the pixel of the
    neighbouring zone, whose tiles reach over. CRS and grid come from each group's attributes. Of
    TESSERA's scales NaN says water, infinite that nothing was written. The first use asks every
    zone for its years, by small requests.

    Examples
    --------
    >>> from geofeat import ZarrSource
    >>> ZarrSource("tessera-v1", max_abs=1e3)
    ZarrSource('tessera-v1', max_abs=1000.0)
    """

    overlap = "first"

    def __init__(
        self,
        store: Any,
        *,
        array: str | None = None,
        crs: str | int | None = None,
        decode: str | None = None,
        nodata: float | str | None = None,
        max_abs: float | None = None,
        base_url: str | None = None,
        max_block_bytes: int = 2**28,
    ):
        if decode not in (None, _SCALED):
            check_rule(str(decode), nodata)
        if max_abs is not None and not max_abs > 0:
            raise ValueError(f"max_abs must be above 0, got {max_abs}")
        if base_url is not None and not (isinstance(store, str) and store in PUBLIC_STORES):
            raise ValueError(f"base_url goes with a public store, {list(PUBLIC_STORES)}")
        self.store = store
        self.array = array
        self.crs = crs
        self.decode = decode
        self.nodata = nodata
        self.max_abs = max_abs
        self.base_url = base_url
        self.max_block_bytes = max_block_bytes

    @property
    def attribution(self) -> str:
        """What the licence of AlphaEarth asks to be shown; empty for other stores."""
        return AlphaEarthSource.attribution if self._rule == "aef" else ""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands that come out, in the order of storage."""
        first = self._contents.cubes[0]
        names: tuple[str, ...] = first.labels or tuple(
            f"band_{band:03d}" for band in range(1, first.cube.n_bands + 1)
        )
        if self._rule == _SCALED and first.labels is None:
            names = tuple(f"tessera_{band:03d}" for band in range(first.cube.n_bands))
        if self._rule == "aef" and first.cube.n_bands == len(_AEF_NAMES):
            names = _AEF_NAMES
        return decoded_names(first.cube.path, self._rule, names)

    @property
    def years(self) -> tuple[int, ...] | None:
        """Years of all zones, ascending; None without a time axis."""
        years = {year for cube in self._cubes for year in cube.years}
        return None if years == {NO_LAYER_YEAR} else tuple(sorted(years))

    def locate(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray) -> Candidates:
        """Pixels that may serve points, that of the point's own zone first; see `Candidates`."""
        point = searched_points(lon, lat)
        which = np.zeros_like(point)
        if self._contents.of_zone is not None:
            point, zone = _zones_to_try(lon[point], point)
            which = self._contents.of_zone[zone]
            point, which = point[which >= 0], which[which >= 0]
        return locate_in_cubes(lon, lat, year, self._cubes, (point, which))

    def areas(self, polygons: np.ndarray, year: np.ndarray) -> Areas:
        """Parts of polygons in degrees, each in the array of its 6 degree zone; see `Areas`."""
        of_zone = self._contents.of_zone
        zones = None if of_zone is None else np.flatnonzero(of_zone >= 0).tolist()
        return areas_in_cubes(polygons, year, self._cubes, zones)

    def reader(self, found: Candidates, bands: np.ndarray) -> CubeReader:
        """Reader of the bands at the given positions."""
        stored = stored_bands(self._rule, bands)
        decoder = None if self._rule == _SCALED else self._decoder(stored, bands)
        return CubeReader(
            self._cubes,
            found,
            stored,
            decoder,
            limit=np.inf if self.max_abs is None else float(self.max_abs),
        )

    @property
    def _address(self) -> Any:
        if isinstance(self.store, str) and self.store in PUBLIC_STORES:
            base = self.base_url or "https://data.source.coop"
            return f"{base.rstrip('/')}/{PUBLIC_STORES[self.store]}"
        return self.store

    @property
    def _cubes(self) -> list[Cube]:
        return [found.cube for found in self._contents.cubes]

    @cached_property
    def _contents(self) -> _Contents:
        """What the store holds; read once."""
        root = open_node(self._address)
        with reading_metadata(shown_address(self._address)):
            zones = zone_groups(root, self.array)
        if zones is None:
            return _Contents([self._cube(root, shown_address(self._address))], None)
        found: dict[int, ZarrCube] = {}

        def look(zone: int) -> None:
            path = f"{shown_address(self._address)}/{zones[zone]}"
            with reading_metadata(path):
                node = root.get(zones[zone])
            if node is not None:
                found[zone] = self._cube(node, path)

        run_tasks(look, zones, at_once=_IN_FLIGHT if not root.store.supports_listing else 1)
        if not found:
            raise SourceError(
                shown_address(self._address),
                "has no array embeddings and no groups utm01 to utm60; name an array with array=",
            )
        of_zone = np.full(61, -1)
        of_zone[sorted(found)] = np.arange(len(found))
        cubes = [found[zone] for zone in sorted(found)]
        for cube in cubes:
            _refuse_another_kind(cube, cubes[0])
        return _Contents(cubes, of_zone)

    def _cube(self, node: Any, path: str) -> ZarrCube:
        scales = self.decode in (None, _SCALED)
        found = read_zarr_cube(node, path, self.array, self.crs, scales)
        if self.decode == _SCALED and not found.scaled:
            raise SourceError(path, "has no array scales, which decode='tessera' multiplies by")
        refuse_large_chunks(found.cube, self.max_block_bytes)
        return found

    @property
    def _rule(self) -> str:
        """How the numbers are decoded: as told, or as the first cube looks."""
        first = self._contents.cubes[0]
        if self.decode is not None:
            return self.decode
        if first.scaled:
            return _SCALED
        if (first.scale, first.offset) != (1.0, 0.0):
            return "scale_offset"
        if first.cube.dtype != np.int8 or first.cube.n_bands != len(_AEF_NAMES):
            return "none"
        if first.labels == _AEF_NAMES or self.store == "aef-mosaic":
            return "aef"
        raise SourceError(
            first.cube.path,
            "has 64 int8 bands without AlphaEarth's names A00 to A63. Say what they are: "
            "decode='aef' de-quantises them, decode='none' takes them as stored",
        )

    def _decoder(self, stored: np.ndarray, bands: np.ndarray) -> BandDecoder:
        first = self._contents.cubes[0]
        zeros = self.nodata == ZERO_VECTORS
        nodata = first.nodata if self.nodata is None or zeros else float(self.nodata)
        return band_decoder(
            first.cube.path,
            str(first.cube.dtype),
            self._rule,
            [nodata] * stored.size,
            [first.scale] * stored.size,
            [first.offset] * stored.size,
            asked=bands,
            zeros=zeros,
        )


def _zones_to_try(lon: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (point, zone): the zone of 6 degrees that holds the point, then one close by."""
    own = np.clip(np.floor((lon + 180.0) / 6.0).astype(np.int64), 0, 59)
    beyond = lon + 180.0 - 6.0 * own
    near = (beyond > 6.0 - _SEAM_DEGREES).astype(np.int64) - (beyond < _SEAM_DEGREES)
    close = np.flatnonzero(near)
    points = np.concatenate([point, point[close]])
    zones = np.concatenate([own, (own + near)[close] % 60]) + 1
    order = np.argsort(points, kind="stable")
    return points[order], zones[order]


def _refuse_another_kind(cube: ZarrCube, first: ZarrCube) -> None:
    kinds = [(c.cube.n_bands, c.cube.dtype, c.scaled, c.labels) for c in (cube, first)]
    if kinds[0] != kinds[1]:
        raise RasterMismatchError(
            cube.cube.path,
            f"has {cube.cube.n_bands} {cube.cube.dtype} bands, {first.cube.path} has "
            f"{first.cube.n_bands} {first.cube.dtype} bands; one source reads arrays of one kind",
        )
