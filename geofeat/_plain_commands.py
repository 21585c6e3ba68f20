"""The two commands that need nothing beyond the package itself: versions and demo."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

NEEDS_EXTRA = (
    "geofeat: this needs typer: pip install 'geofeat[cli]'. Without it there are: "
    "geofeat versions, geofeat demo [--output FOLDER]\n"
)


def run_plain(words: Sequence[str]) -> int:
    """Run ``versions`` or ``demo``; everything else asks for the extra. Returns the exit status."""
    if list(words) == ["versions"]:
        return print_versions()
    if words and words[0] == "demo":
        folder = _folder(list(words[1:]))
        if folder is not None:
            try:
                return print_demo(folder)
            except ImportError as error:
                sys.stderr.write(f"geofeat: {error}\n")
                return 1
    sys.stderr.write(NEEDS_EXTRA)
    return 2


def _folder(words: list[str]) -> Path | None:
    if not words:
        return Path("demo")
    return Path(words[1]) if len(words) == 2 and words[0] == "--output" else None


def print_versions() -> int:
    """Print versions, threads and folders."""
    from geofeat._versions import show_versions

    show_versions()
    return 0


def print_demo(output: Path, *, progress: bool = True) -> int:
    """Run the demo into a folder and print its report."""
    from geofeat._demo import run_demo

    sys.stdout.write(f"{run_demo(output, progress=progress).report}\n")
    return 0
