"""Run benchmark scripts and keep what they print, with the machine they ran on, for the docs.

The page "Performance" of the documentation shows these files and nothing else. Scripts run one
after another; run them on a machine that does nothing else.

    python benchmarks/record.py [script ...]
"""

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RECORDS = HERE.parent / "docs" / "performance"
SCRIPTS = (
    "import_time", "position_encodings", "spherical_harmonics", "random_features",
    "time_encoding", "embedders", "harmonic_features", "raster_sampling", "raster_collection",
    "remote_rasters", "predict_raster", "bulk_extraction", "kriging", "real_data",
)  # fmt: skip
LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "rasterio", "torch")


def machine() -> list[str]:
    """Describe what the figures depend on besides the code: a line a fact."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = models[0].split(":", 1)[1].strip() if models else processor
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return [
        f"processor: {processor}, {len(os.sched_getaffinity(0))} cores usable",
        f"system: {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"libraries: {', '.join(versions)}",
        f"commit: {commit()}",
        f"date: {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        f"load of the machine before the run: {os.getloadavg()[0]:.2f}",
    ]


def commit() -> str:
    """Name the commit, and tell when the package or a script differs from it."""

    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", *arguments], cwd=HERE.parent, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", "geofeat", "benchmarks")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def record(name: str) -> None:
    """Run one script and write its record; a script that fails keeps its last one."""
    facts = machine()
    print(f"== {name}", flush=True)
    run = subprocess.run(
        [sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, check=False
    )
    print(run.stdout, flush=True)
    if run.returncode:
        print(f"{name}.py ended with status {run.returncode}: its figures below say why")
    RECORDS.mkdir(exist_ok=True)
    text = "\n".join([*facts, "", run.stdout.rstrip(), ""])
    (RECORDS / f"{name}.txt").write_text(text, encoding="utf-8")


def main() -> None:
    """Record the scripts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="script", help="all when none is named")
    for name in parser.parse_args().scripts or SCRIPTS:
        record(name)


if __name__ == "__main__":
    main()
