"""The progress bar of work that may take long."""

from __future__ import annotations

from typing import Any

from geofeat._threads import in_pool_thread

_SECONDS_BEFORE_BAR = 2.0


def progress_bar(
    total: int, description: str, unit: str, progress: bool | None, *, initial: int = 0
) -> Any:
    """Bar on the error stream, used as a context.

    Parameters
    ----------
    total : int
        How many units the work has.
    description, unit : str
        What is done, and what is counted.
    progress : bool or None
        Whether to show it. None: on a terminal, when the work takes longer than 2 s.
    initial : int
        Units that were done before; rate and time left do not count them.
    """
    from tqdm import tqdm

    if progress is None and in_pool_thread():  # bars of several workers overwrite each other
        progress = False

    class Bar(tqdm):
        # The monitor is a daemon thread that outlives the call; short tasks update the bar enough.
        monitor_interval = 0

    return Bar(
        total=total,
        desc=description,
        unit=unit,
        initial=initial,
        disable=None if progress is None else not progress,
        delay=_SECONDS_BEFORE_BAR if progress is None else 0,
    )
