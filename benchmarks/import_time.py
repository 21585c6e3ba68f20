"""What ``import geofeat`` adds to ``import sklearn``: median of five fresh interpreters each."""

import statistics
import subprocess
import sys

RUNS = 5
TARGET_SECONDS = 0.3
TIMED = (
    "import time; {before}; start = time.perf_counter(); {timed}; "
    "print(time.perf_counter() - start)"
)


def seconds(before: str, timed: str) -> float:
    """Median time of one import statement in a fresh interpreter, after another."""
    command = [sys.executable, "-c", TIMED.format(before=before, timed=timed)]
    subprocess.run(command, check=True, capture_output=True)  # warms the disk
    runs = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(RUNS)
    ]
    return statistics.median(runs)


def main() -> None:
    """Print the import times and whether the target is met."""
    added = seconds("import sklearn", "import geofeat")
    print(f"import geofeat after sklearn          {added:6.3f} s   target < {TARGET_SECONDS} s")
    print("Names load when first used:")
    for name in ("SphericalHarmonicsEncoder", "HarmonicFeatures", "EmbeddingRasterSampler"):
        first_use = seconds("import sklearn", f"from geofeat import {name}")
        print(f"  from geofeat import {name:<26}{first_use:6.3f} s")
    numba = seconds("import sklearn", "import numba")
    print(f"  import numba, for comparison          {numba:6.3f} s")
    if added >= TARGET_SECONDS:
        sys.exit("target missed")


if __name__ == "__main__":
    main()
