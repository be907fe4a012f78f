"""What the runs of chaos on PostgreSQL ask for: a cluster of their own, since they stop it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.hosts import Host, NoHosts, database_host
from tests.postgres import Cluster, PostgresMissing, cluster


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    try:
        with cluster() as made:
            yield made
    except PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def far_database() -> Iterator[Host]:
    """A cluster on a host of its own."""
    try:
        with database_host() as made:
            yield made
    except (NoHosts, PostgresMissing) as missing:
        pytest.skip(str(missing))
