"""Cleaning on older servers: what they did shows later, and only superusers can take statistics away."""

from pathlib import Path

import psycopg
import pytest

from fixtures.clusters import databases
from fixtures.residue import ERASE, PLANT, Site, cleaned, doubts, outcomes, session
from fixtures.versions import old_cluster
from handover.postgres.session import with_database


@pytest.mark.parametrize(
    "major", [15, *(pytest.param(one, marks=pytest.mark.campaign) for one in (13, 14, 16, 17))]
)
def test_older_servers(cluster_home: Path, major: int) -> None:
    with old_cluster(cluster_home, major) as cluster, databases(cluster) as factory:
        owner = factory()
        name = str(psycopg.conninfo.conninfo_to_dict(owner)["dbname"])
        site = Site(cluster, owner, with_database(cluster.admin_url(), name))
        site.run(PLANT)
        site.run(ERASE)
        assert site.searched()
        with session(site.owner) as connection:
            said = outcomes(connection, cleaned(connection))
            assert doubts(said) == {"statement-texts", "temporary-files", "wal"}
        site.run("DELETE FROM t")
        with session(site.owner) as connection:
            assert doubts(outcomes(connection, cleaned(connection))) > {"statistics", "extended-statistics"}
        with session(site.admin) as connection:
            assert doubts(outcomes(connection, cleaned(connection))) == set()
        assert site.searched() == set()
