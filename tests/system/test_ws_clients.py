# SPDX-License-Identifier: MIT
"""Clients that others wrote understand the bridge, compressed or not: replay,
live events to the end of the debate, pings both ways, subscriptions, and the
closing handshake (clients/scenario.py)."""
import json
import os
import subprocess
import sys

import pytest
import stack as st
from swarm_kit import Rig

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")
# scripts/check puts tests/npm there.
MODULES = os.path.join(st.BUILD, "npm", "node_modules")
SECONDS = 120

PROGRAMS = {
    "npm ws": ["node", "node_ws.js"],
    "python3-websockets": [sys.executable, "python_websockets.py"],
    "python3-wsproto": [sys.executable, "python_wsproto.py"],
    "python3-autobahn": [sys.executable, "python_autobahn.py"],
}
# More than one TLS record, than one segment, than the bridge's own pieces.
LONG = "\u00fc\u4e16" * 50000


def publish(feed, debate, text):
    data = json.dumps({"content": text}, ensure_ascii=False)
    seq = feed(f"commit {debate} agent_message demo {data}")
    feed(f"publish {debate} {seq}")


@pytest.mark.parametrize("compression", ["plain", "deflate"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_client(name, compression):
    assert name != "npm ws" or os.path.isdir(os.path.join(MODULES, "ws")), \
        "npm's ws is not installed: scripts/check packages"
    program, script = PROGRAMS[name]
    with Rig(is_tcp=True) as rig:
        feed = rig.feed
        for debate in "ab":
            feed.debate(debate)
            for text in ("one", "two", "three"):
                publish(feed, debate, text)
        client = subprocess.Popen(
            [program, os.path.join(FOLDER, script), "ws://" + rig.address,
             compression], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "NODE_PATH": MODULES})
        assert client.stdout.readline() == "joined\n"
        for text in ("four", LONG, "six"):
            publish(feed, "a", text)
        publish(feed, "b", "not for this client")
        feed.finish("a")
        out, _ = client.communicate(timeout=SECONDS)
        assert client.returncode == 0
    result = json.loads(out)
    lengths = [3, 3, 5, 4, len(LONG), 3, 0]
    assert result["seen"]["a"] == [
        [i + 1, i < 3, n] for i, n in enumerate(lengths)]
    assert result["seen"]["b"] == [[2, True, 3], [3, True, 5]]
    assert result["pong"] == 17 and result["end"] == 7
    assert result["subscribed"] == 3
    assert result["code"] == 1000
    assert result["is_deflated"] == (compression == "deflate")
