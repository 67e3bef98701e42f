# SPDX-License-Identifier: MIT
"""Two bridges behind nginx, which sends each connection to either: a client
resumes at the one what it began at the other."""
import signal

import pytest
from swarm_kit import Rig


@pytest.fixture(params=["sqlite", "pgsql"])
def rig(request):
    """SQLite without Redis, or PostgreSQL with it."""
    url = None
    if request.param == "pgsql":
        url = request.getfixturevalue("postgres").database()
    with Rig(url, bridges=2) as rig:
        yield rig


def test_clients_change_between_two_bridges(rig):
    swarm = rig.swarm(2000, 1001)
    swarm.ready()
    with rig.stream(1000, 125) as stream:
        for second in (1, 3):
            stream.until(second)
            swarm.signal(signal.SIGUSR1)
        # One of them dies: its clients go on at the other.
        stream.until(5)
        rig.kill("ws0")
        stream.until(6)
        rig.start_bridge(0)
    report = swarm.report()
    assert report["replays"] >= 2000


def test_rolling_restart(rig):
    """Both are restarted, one after the other, while events come."""
    swarm = rig.swarm(2000, 1201)
    swarm.ready()
    with rig.stream(1200, 120) as stream:
        for i in range(2):
            stream.until(1 + 4 * i)
            rig.restart(i)
    report = swarm.report()
    # Each client was sent away by one bridge or by both, and told when to
    # come back.
    assert report["closes"]["1001"] >= 1900
    assert report["told"] == report["closes"]["1001"]
    assert report["replays"] >= 1900
