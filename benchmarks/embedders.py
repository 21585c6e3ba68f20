"""SatCLIP and GeoCLIP beside their published code: points a second, share of the bound, memory.

Each repetition draws points uniform on the sphere and runs, in turn and on the same points, ours
in float64 and float32, the peer on as many threads, and the matrix products of one layer alone,
which give the rate of the machine at that moment. The bound of a model is that rate over the
operations that its matrix products need a point. Weights are random numbers of the published
shapes, or the geoclip wheel's own for GeoCLIP; speed does not depend on them. Embeddings are
compared first.

rshf (SatCLIP) computes in float64 only. The geoclip wheel computes in float32. "batches" is the
peer fed with 1 000 points at a time by its user, which keeps its activations in cache.

    python benchmarks/embedders.py [--repetitions 7]
"""

import argparse
import importlib
import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from geofeat import GeoCLIPEmbedder, SatCLIPEmbedder
from geofeat._threads import usable_threads

# OpenMP's threads spin for up to 200 ms after their work, on a core that the next one needs.
REST_SECONDS = 0.3
BOUND_TARGET = 0.8
MEMORY_ROWS = 1_000_000
# Ratio of ours to the peer that each model is to reach, by precision of ours.
TARGETS = {
    "satclip l40": {"float64": 7.5, "float32": 15.0},
    "satclip l10": {"float64": 2.0, "float32": 4.5},
    "geoclip": {"float32": 4.5},
}


def draw(n: int, dtype: Any, seed: int) -> np.ndarray:
    """Draw points uniform on the sphere, (lon, lat) in degrees."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    return np.column_stack([rng.uniform(-180, 180, n), lat]).astype(dtype)


def satclip_weights(legendre_polys: int) -> dict[str, np.ndarray]:
    """Draw weights like those SatCLIP starts from, in the published sizes."""
    rng = np.random.default_rng(legendre_polys)
    sizes = {
        "layers.0": (512, legendre_polys**2),
        "layers.1": (512, 512),
        "last_layer": (256, 512),
    }
    weights = {}
    for name, (rows, columns) in sizes.items():
        bound = 1 / columns if name == "layers.0" else np.sqrt(6 / columns)
        weights[f"nnet.{name}.weight"] = rng.uniform(-bound, bound, (rows, columns))
        weights[f"nnet.{name}.bias"] = rng.uniform(-bound, bound, rows)
    return weights


def satclip_peer(legendre_polys: int, weights: dict[str, np.ndarray]) -> Callable | None:
    """Return rshf's SatCLIP location encoder with these weights, of (lon, lat); None if absent."""
    try:
        model = importlib.import_module("rshf.satclip.model")
        harmonics = importlib.import_module("rshf.satclip.spherical_harmonics")
    except ImportError as error:
        print(f"rshf cannot be imported ({error}): left out")
        return None
    encode = harmonics.SphericalHarmonics(legendre_polys=legendre_polys)
    net = model.SirenNet(
        dim_in=legendre_polys**2, dim_hidden=512, dim_out=256, num_layers=2, dropout=True
    ).double()
    state = {key.removeprefix("nnet."): torch.from_numpy(v) for key, v in weights.items()}
    net.load_state_dict(state)
    net.eval()

    def embed(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(encode(torch.from_numpy(X.astype(np.float64)))).numpy()

    return embed


def geoclip_peer() -> tuple[Callable, dict[str, np.ndarray]] | None:
    """Return the wheel's location encoder, of (lon, lat), and its weights; None if it is absent.

    The wheel's own ``__init__`` imports the image model and torchvision; only the two files of
    the location encoder are loaded.
    """
    try:
        files = importlib.metadata.files("geoclip") or []
    except importlib.metadata.PackageNotFoundError:
        print("geoclip is not installed: left out")
        return None
    folder = Path(next(f for f in files if f.name == "location_encoder.py").locate()).parent
    for name, path in {"geoclip": folder.parent, "geoclip.model": folder}.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(path)]
    module = importlib.import_module("geoclip.model.location_encoder")
    net = module.LocationEncoder(from_pretrained=False)
    state = torch.load(folder / "weights" / "location_encoder_weights.pth", weights_only=True)
    net.load_state_dict(state)
    net.eval()

    def embed(X: np.ndarray) -> np.ndarray:
        latlon = torch.from_numpy(np.ascontiguousarray(X[:, ::-1], dtype=np.float32))
        with torch.no_grad():
            return net(latlon).numpy()

    return embed, {key: value.numpy() for key, value in state.items()}


def saved(weights: dict[str, np.ndarray], folder: str) -> Path:
    """Write weights to a file, as users have them; arrays in memory are hashed in every call."""
    path = Path(folder) / f"{len(weights)}_{operations(weights)}.safetensors"
    save_file({key: np.ascontiguousarray(value) for key, value in weights.items()}, path)
    return path


def operations(weights: dict[str, np.ndarray]) -> int:
    """Multiplications and additions of all layers for one point."""
    return sum(2 * value.size for key, value in weights.items() if key.endswith(".weight"))


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one call after a rest, in which threads of the one before fall asleep."""
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def products_rate(weights: dict[str, np.ndarray], dtype: str) -> Callable[[], float]:
    """Return a call for the operations a second of the model's own matrix products, alone."""
    rows = 1024 * usable_threads()
    layers = [value.astype(dtype) for key, value in weights.items() if key.endswith(".weight")]
    inputs = [np.ones((rows, layer.shape[1]), dtype) for layer in layers]
    outputs = [np.empty((rows, layer.shape[0]), dtype) for layer in layers]

    def measure() -> float:
        start = time.perf_counter()
        for x, layer, out in zip(inputs, layers, outputs, strict=True):
            np.matmul(x, layer.T, out=out)
        return rows * operations(weights) / (time.perf_counter() - start)

    return lambda: max(measure() for _ in range(3))


def race(
    embedder: Any, peer: Callable | None, weights: dict, rows: int, repetitions: int
) -> dict[str, list[float]]:
    """Points a second of each contestant and operations a second of the products."""
    figures: dict[str, list[float]] = {}
    for repetition in range(-1, repetitions):
        calls: dict[str, Callable[[], float]] = {}
        for dtype in ("float64", "float32"):
            X = draw(rows, dtype, 2 * repetition + 2)
            calls[dtype] = lambda X=X: rows / timed(lambda: embedder.transform(X))
            calls[f"products {dtype}"] = products_rate(weights, dtype)
        if peer is not None:
            X = draw(rows, np.float64, 2 * repetition + 3)
            calls["peer"] = lambda X=X: rows / timed(lambda: peer(X))
            calls["batches"] = lambda X=X: (
                rows
                / timed(lambda: [peer(X[first : first + 1000]) for first in range(0, rows, 1000)])
            )
        names = list(calls)
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            figure = calls[name]()
            if repetition >= 0:  # the first round warms up
                figures.setdefault(name, []).append(figure)
    return figures


def report(name: str, embedder: Any, peer: Callable | None, weights: dict, options: Any) -> None:
    """Print the rows of one model."""
    X = draw(500, np.float64, 99)
    X = X[np.abs(X[:, 1]) < 30]  # further north the published polynomials lose digits
    ours = embedder.transform(X)
    difference = np.nan
    if peer is not None:
        difference = np.abs(peer(X) - ours).max() / np.abs(ours).max()
    figures = race(embedder, peer, weights, options.rows, options.repetitions)
    single = embedder.transform(X.astype(np.float32))
    double = embedder.transform(X.astype(np.float32).astype(np.float64))
    for dtype in ("float64", "float32"):
        rate = statistics.median(figures[dtype])
        bounds = [r / operations(weights) for r in figures[f"products {dtype}"]]
        share = statistics.median(a / b for a, b in zip(figures[dtype], bounds, strict=True))
        ratio, mark, theirs, batches = "-", "", "-", "-"
        if peer is not None:
            value = statistics.median(
                a / b for a, b in zip(figures[dtype], figures["peer"], strict=True)
            )
            target = TARGETS[name].get(dtype)
            ratio, mark = f"{value:.1f}", "!" if target and value < target else ""
            theirs, batches = (f"{statistics.median(figures[k]):.0f}" for k in ("peer", "batches"))
        error = f"{np.abs(single - double).max() / np.abs(double).max():.1e}"
        print(
            f"{name:12} {dtype} {rate:9.0f} {theirs:>9} {batches:>9} {ratio:>7}{mark:1} "
            f"{share:8.2f}{'!' if share < BOUND_TARGET else ' '} "
            f"{difference:13.1e} {error if dtype == 'float32' else '-':>10}",
            flush=True,
        )


def peak_memory() -> float:
    """Peak resident memory of this process in MiB; getrusage would tell that of its parent too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def print_memory() -> None:
    """Print what a million points need beyond their output, by the peak of the process."""
    embedder = SatCLIPEmbedder(weights=satclip_weights(40))
    for dtype in ("float64", "float32"):
        embedder.transform(draw(4096, dtype, 0))
        X = draw(MEMORY_ROWS, dtype, 1)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
        before = peak_memory()
        out = embedder.transform(X)
        beyond = peak_memory() - before - out.nbytes / 2**20
        print(f"satclip l40 {dtype}, {MEMORY_ROWS} points: {beyond:.0f} MiB beyond the output")
        del out


def main() -> None:
    """Run all models, then the memory of a large call in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="only the table of memory")
    options = parser.parse_args()
    if options.memory:
        print_memory()
        return
    torch.set_num_threads(usable_threads())
    print(f"numpy {np.__version__}, torch {torch.__version__}, {usable_threads()} threads")
    print(
        f"{'model':12} dtype    points/s      peer   ratio  of bound  difference     float32 error"
    )
    with tempfile.TemporaryDirectory() as folder:
        for legendre_polys in (40, 10):
            weights = satclip_weights(legendre_polys)
            peer = satclip_peer(legendre_polys, weights)
            embedder = SatCLIPEmbedder(weights=saved(weights, folder))
            report(f"satclip l{legendre_polys}", embedder, peer, weights, options)
        found = geoclip_peer()
        if found is not None:
            peer, weights = found
            report(
                "geoclip", GeoCLIPEmbedder(weights=saved(weights, folder)), peer, weights, options
            )
    print(f"of bound >= {BOUND_TARGET}; '!' marks a miss; difference to the peer below 30 degrees")
    subprocess.run([sys.executable, __file__, "--memory"], check=True)


if __name__ == "__main__":
    main()
