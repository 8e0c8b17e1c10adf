"""Durations and hours on the command line."""

from __future__ import annotations

import argparse

import pytest

from mmsa.cli import duration, hours


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1.5h", 5400), ("1h30m", 5400)],
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2 h", "h", "-1h", "2w", "1h x", "0s", "1e3s", "²h"])
def test_what_is_no_duration(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no duration: write 90s, 30m, 2h, 1d or 1h30m"):
        duration(text)


def test_a_number_without_a_unit_is_asked_which_one():
    with pytest.raises(argparse.ArgumentTypeError, match="2 of what\\? write 2m or 2h"):
        duration("2")


def test_hours():
    assert hours("12") == 12.0
    assert hours("0.5") == 0.5


@pytest.mark.parametrize("text", ["", "0", "-1", "2h", "inf", "nan"])
def test_what_is_no_number_of_hours(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no number of hours above 0"):
        hours(text)
