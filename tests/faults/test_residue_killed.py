"""Cleaning killed at any instant: no setting of the server is left changed, and repeating it cleans all."""

import multiprocessing
import random
import time

import psycopg
import pytest

from fixtures.residue import (
    ERASE,
    Site,
    cleaned,
    doubts,
    lab,
    name,
    now,
    open_window,
    outcomes,
    session,
    site,
)
from handover.postgres.residue.cleaning import clean
from handover.postgres.residue.storage import begin

__all__ = ["lab", "site"]

SETTINGS = "SELECT name, setting, sourcefile FROM pg_settings ORDER BY 1"


def clean_for_ever(url: str) -> None:
    """What the killed process does."""
    with session(url) as connection:
        while True:
            clean(connection, begin(connection, [name("t")]), open_window(), now)


@pytest.mark.parametrize("rounds", [2, pytest.param(15, marks=pytest.mark.campaign)])
def test_killed_at_any_instant(site: Site, rounds: int) -> None:
    site.run(ERASE)
    with psycopg.connect(site.admin, autocommit=True) as other:
        before = other.execute(SETTINGS).fetchall()
        for _ in range(rounds):
            child = multiprocessing.get_context("spawn").Process(target=clean_for_ever, args=(site.admin,))
            child.start()
            _wait_for_work(other)
            time.sleep(random.uniform(0, 0.4))
            child.kill()
            child.join()
        _wait_for_end(other)
    with psycopg.connect(site.admin) as other:
        assert other.execute(SETTINGS).fetchall() == before
    with session(site.admin) as connection:
        assert doubts(outcomes(connection, cleaned(connection))) == set()
    assert site.searched() == set()


WORKERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'handover'"


def _wait_for_work(other: psycopg.Connection) -> None:
    while other.execute(WORKERS).fetchone() == (0,):
        time.sleep(0.01)


def _wait_for_end(other: psycopg.Connection) -> None:
    while other.execute(WORKERS).fetchone() != (0,):
        time.sleep(0.01)
