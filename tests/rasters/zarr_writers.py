"""Small Zarr stores in the layouts that are published, written independently of the package."""

import numpy as np
import zarr
from affine import Affine
from zarr.codecs import ZstdCodec

MOSAIC_GRID = Affine(0.0005, 0, -180.0, 0, -0.0005, 0.03)
MOSAIC_YEARS = (2022, 2023)


def write_mosaic(store, stored, *, transform=MOSAIC_GRID, years=MOSAIC_YEARS, **attributes):
    """AlphaEarth's mosaic: one sharded array of bytes, no coordinates but the time."""
    group = zarr.create_group(store, overwrite=True)
    array = group.create_array(
        "embeddings",
        shape=stored.shape,
        chunks=(1, stored.shape[1], 16, 16),
        shards=(1, stored.shape[1], 64, 64),
        dtype="int8",
        fill_value=-128,
        dimension_names=("time", "embedding", "y", "x"),
        compressors=ZstdCodec(level=3),
        attributes={
            "proj:code": "EPSG:4326",
            "spatial:transform": list(transform)[:6],
            "embedding_dimensions": [f"A{band:02d}" for band in range(stored.shape[1])],
            **attributes,
        },
    )
    array[:] = stored
    time = group.create_array(
        "time", shape=(len(years),), dtype="int32", chunks=(len(years),), dimension_names=("time",)
    )
    time[:] = np.array(years, dtype="int32")
    return group


def write_zone(root, zone, stored, scales, *, epsg, west, north, years=(2023,)):
    """One zone of a TESSERA store: bytes and scales in shards, coordinates of pixel centres."""
    group = root.create_group(
        f"utm{zone:02d}",
        attributes={
            "proj:code": f"EPSG:{epsg}",
            "spatial:transform": [10.0, 0.0, west, 0.0, -10.0, north],
            "geoemb:dimensions": stored.shape[1],
        },
    )
    _, bands, height, width = stored.shape
    kinds = {
        "embeddings": (stored, (1, bands, 8, 8), (1, bands, 32, 32), ("time", "band", "y", "x"), 0),
        "scales": (scales, (1, 8, 8), (1, 32, 32), ("time", "y", "x"), np.inf),
    }
    for name, (values, chunks, shards, dims, empty) in kinds.items():
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=chunks,
            shards=shards,
            dtype=values.dtype,
            fill_value=empty,
            dimension_names=dims,
            compressors=ZstdCodec(level=3),
        )
        array[:] = values
    axes = {
        "time": np.array(years, "int32"),
        "band": np.arange(bands, dtype="int32"),
        "x": west + 5.0 + 10 * np.arange(width),
        "y": north - 5.0 - 10 * np.arange(height),
    }
    for name, values in axes.items():
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=values.shape,
            dimension_names=(name,),
        )
        array[:] = values
    return group


def serve_folder(files, folder, base):
    """Put every file of a folder on a `FileServer` below ``base``; returns the address."""
    for path in folder.rglob("*"):
        if path.is_file():
            files.put(f"{base}/{path.relative_to(folder).as_posix()}", path)
    return files.url(base)
