"""When a download is tried again."""

import datetime as dt
import email.utils

import pytest

from geofeat._downloads import downloads_are_off, judge_status, pause_after, without_secrets


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_passing_faults_are_tried_again(status):
    reason, wait = judge_status(status, "", 1)
    assert str(status) in reason
    assert 0.25 <= wait <= 0.75


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416, 501])
def test_lasting_ones_are_not(status):
    assert judge_status(status, "1", 1) == (f"answers with status {status}", None)


def test_the_server_may_ask_for_a_minute_but_no_more():
    assert judge_status(429, "60", 1)[1] == 60
    reason, wait = judge_status(429, "61", 1)
    assert wait is None
    assert "61 seconds" in reason
    later = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30))
    assert 25 < judge_status(503, later, 1)[1] <= 30
    assert judge_status(503, "soon", 1)[1] <= 0.75


def test_pauses_double_up_to_half_a_minute():
    for attempt, step in [(1, 0.5), (2, 1), (3, 2), (4, 4), (20, 30)]:
        pauses = [pause_after(attempt) for _ in range(200)]
        assert step * 0.5 <= min(pauses) < max(pauses) <= step * 1.5


def test_addresses_in_messages_tell_no_secret():
    assert without_secrets("https://me:x@a.org:80/b?token=1#c") == "https://a.org:80/b"


@pytest.mark.parametrize("name", ["GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_switches_downloads_off(monkeypatch, name):
    for variable in ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    assert not downloads_are_off()
    assert downloads_are_off(True)
    monkeypatch.setenv(name, "true")
    assert downloads_are_off()
