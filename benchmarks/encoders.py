"""Every encoder beside its peers and its bounds: runs the scripts of the encoders in turn.

python benchmarks/encoders.py
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = ("position_encodings", "spherical_harmonics", "random_features", "time_encoding")


def main() -> None:
    """Run each script in a process of its own; each prints what it measures."""
    for name in SCRIPTS:
        path = Path(__file__).with_name(f"{name}.py")
        print(f"== {path.name}", flush=True)
        subprocess.run([sys.executable, path], check=True)


if __name__ == "__main__":
    main()
