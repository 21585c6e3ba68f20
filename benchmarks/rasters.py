"""Embedding rasters beside their peers and bounds: runs the scripts of the rasters in turn.

python benchmarks/rasters.py
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("raster_sampling", "raster_collection", "remote_rasters", "predict_raster")


def main() -> None:
    """Run each script in a process of its own; each prints what it measures."""
    for name in SCRIPTS:
        path = Path(__file__).with_name(f"{name}.py")
        print(f"== {path.name}", flush=True)
        subprocess.run([sys.executable, path], check=True)


if __name__ == "__main__":
    main()
