"""Encoders on tensors: points a second on the GPU, beside what the device can write.

Runs on "cuda" where torch finds it, else on the CPU, and says so in its first line. The bound of a
row is the time that the device takes to write the output, from a fill of as many bytes in the same
run; "of bound" is the share of it that the encoder reaches. Every result is held to NumPy's first;
a peer whose numbers are wrong gets "wrong" and no ratio. The last column begins and ends with NumPy
arrays, ``device=...``, so that it holds the transfers both ways.

torch-harmonics transforms whole grids and has no harmonics at scattered points, so it is no peer.

    python benchmarks/encoders_gpu.py [--mebibytes 1024] [--repetitions 15]
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # scikit-learn asks for it before it lets tensors in

import numpy as np
import torch
from sklearn import config_context

from geofeat import MultiScaleEncoder, SphericalHarmonicsEncoder
from geofeat._threads import usable_threads

SAMPLE = 300
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
TARGET = 0.6

# One line an encoder: its name, and what makes it. X is (lon, lat).
ENCODERS: dict[str, Callable[..., Any]] = {
    "harmonics, degree 9": lambda **kw: SphericalHarmonicsEncoder(9, convention="geodesy", **kw),
    "harmonics, degree 39": lambda **kw: SphericalHarmonicsEncoder(39, convention="geodesy", **kw),
    "harmonics, degree 99": lambda **kw: SphericalHarmonicsEncoder(99, convention="geodesy", **kw),
    "multi-scale, spherem+": lambda **kw: MultiScaleEncoder("spherem+", **kw),
}


def draw(n: int, dtype: torch.dtype, device: str, seed: int) -> torch.Tensor:
    """Draw points uniform on the sphere, (lon, lat) in degrees."""
    rng = np.random.default_rng(seed)
    lonlat = np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )
    return torch.from_numpy(lonlat).to(dtype).to(device)


def unit_vectors(lonlat: torch.Tensor) -> torch.Tensor:
    """Return the same points as unit vectors, for the peer; not charged to it."""
    lon, lat = torch.deg2rad(lonlat.double()).T
    xyz = [torch.cos(lat) * torch.cos(lon), torch.cos(lat) * torch.sin(lon), torch.sin(lat)]
    return torch.stack(xyz, dim=1).to(lonlat.dtype)


def seconds_of(call: Callable[[], Any], device: str) -> float:
    """Wall-clock seconds of one call, all work on the device done before and after."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    result = call()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    del result
    return seconds


def is_right(values: torch.Tensor, expected: np.ndarray) -> bool:
    """Whether all values are within the tolerance of their dtype."""
    error = np.abs(values.cpu().numpy() - expected)
    return bool(np.isfinite(error).all() and error.max() <= TOLERANCE[values.dtype])


def peer_of(name: str, sphericart: Any) -> Any:
    """Sphericart's calculator of the same harmonics, or None."""
    if sphericart is None or not name.startswith("harmonics"):
        return None
    return sphericart.SphericalHarmonics(int(name.rsplit(maxsplit=1)[-1]))


def row(name: str, dtype: torch.dtype, device: str, options: Any, sphericart: Any) -> str:
    """Time one encoder in one dtype; the line of its figures."""
    encoder, moved = ENCODERS[name](), ENCODERS[name](device=device)
    sample = draw(SAMPLE, dtype, device, 1)
    expected = encoder.transform(sample.cpu().double().numpy())
    width = expected.shape[1]
    rows = options.mebibytes * 2**20 // (width * dtype.itemsize)
    peer = peer_of(name, sphericart)
    peer_is_right = peer is not None and is_right(peer.compute(unit_vectors(sample)), expected)
    seconds: dict[str, list[float]] = {}
    with config_context(array_api_dispatch=True):
        if not is_right(encoder.transform(sample), expected):
            raise SystemExit(f"{name} is wrong on {device} in {dtype}")
        for repetition in range(-2, options.repetitions):
            X = draw(rows, dtype, device, 2 + repetition)
            numpy_X, xyz = X.cpu().numpy(), unit_vectors(X)
            out = torch.empty((rows, width), dtype=dtype, device=device)
            calls: dict[str, Callable[[], Any]] = {
                "fill": lambda: out.fill_(1.0),  # noqa: B023
                "ours": lambda: encoder.transform(X),  # noqa: B023
                "NumPy": lambda: encoder.transform(numpy_X),  # noqa: B023
                "moved": lambda: moved.transform(numpy_X),  # noqa: B023
            }
            if peer_is_right:
                calls["peer"] = lambda: peer.compute(xyz)  # noqa: B023
            calls["fill"]()  # touches the pages of ``out``
            for kind, call in calls.items():
                elapsed = seconds_of(call, device)
                if repetition >= 0:  # the first rounds compile and warm up
                    seconds.setdefault(kind, []).append(elapsed)

    def ratio(above: str, below: str) -> float:
        pairs = zip(seconds[above], seconds[below], strict=True)
        return statistics.median(a / b for a, b in pairs)

    ours, moved_ours = (rows / statistics.median(seconds[kind]) / 1e6 for kind in ("ours", "moved"))
    gigabytes = rows * width * dtype.itemsize / 1e9 / statistics.median(seconds["fill"])
    of_bound = ratio("fill", "ours")
    mark = "!" if device == "cuda" and of_bound < TARGET else " "
    against = "-" if peer is None else "wrong"
    if peer_is_right:
        against = f"{ratio('peer', 'ours'):.2f}"
    return (
        f"{name:22} {str(dtype)[6:]} {rows:9d} {ours:10.2f} "
        f"{gigabytes:9.1f} {of_bound:9.1%}{mark} {against:>16} {ratio('NumPy', 'ours'):10.2f} "
        f"{moved_ours:12.2f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=None, help="size of one output")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--encoders", default="", help="only those whose name contains this")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        print(f"on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    else:
        torch.set_num_threads(usable_threads())
        print(f"no GPU here: on the CPU with tensors, {usable_threads()} threads")
    options.mebibytes = options.mebibytes or (1024 if device == "cuda" else 64)
    try:
        sphericart = importlib.import_module("sphericart.torch")
    except ImportError as error:
        sphericart = None
        print(f"sphericart-torch cannot be imported ({error}): left out")
    print(f"outputs of {options.mebibytes} MiB, medians of {options.repetitions}; millions (M) of")
    print("points a second with tensors in and out, and from NumPy to NumPy over the device")
    print(
        "encoder                dtype     points  tensors M/s  fill GB/s  of bound  "
        "sphericart/ours  NumPy/ours  NumPy ends M/s"
    )
    for name in ENCODERS:
        if options.encoders in name:
            for dtype in (torch.float32, torch.float64):
                print(row(name, dtype, device, options, sphericart), flush=True)
    if device == "cuda":
        print(f"target: {TARGET:.0%} of the bound; '!' marks a miss")


if __name__ == "__main__":
    main()
