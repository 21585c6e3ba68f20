"""Whether a download may start, when it is tried again, and how long it waits before."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

ATTEMPTS = 5
_LONGEST_WAIT = 60.0
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_TRUE = {"1", "ON", "YES", "TRUE"}


def downloads_are_off(local_files_only: bool | None = None) -> bool:
    """Whether the caller or the environment forbids to open a connection."""
    variables = ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE")
    return bool(local_files_only) or any(
        os.environ.get(name, "").upper() in _TRUE for name in variables
    )


def pause_after(attempt: int) -> float:
    """Seconds to wait after the given attempt, counted from 1.

    Half to one and a half times the step, so that many clients do not come back together.
    """
    return min(30.0, 0.5 * 2 ** (attempt - 1)) * random.SystemRandom().uniform(0.5, 1.5)


def judge_status(status: int, retry_after: str, attempt: int) -> tuple[str, float | None]:
    """Say what a status means, and the seconds until another attempt; None if that is in vain.

    Parameters
    ----------
    status : int
        Of the answer.
    retry_after : str
        Its header of that name, a number of seconds or a date; empty if there is none.
    attempt : int
        How many were made, this one included.
    """
    reason = f"answers with status {status}"
    if status not in _TRANSIENT:
        return reason, None
    asked = _seconds(retry_after)
    if asked > _LONGEST_WAIT:
        return f"{reason} and asks to come back in {asked:.0f} seconds", None
    return reason, max(pause_after(attempt), asked)


def without_secrets(url: str) -> str:
    """Drop the user's name, password and query from an address."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _seconds(retry_after: str) -> float:
    """Seconds that a server asks to wait, given as a number or a date; 0 if it does not."""
    value = retry_after.strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
