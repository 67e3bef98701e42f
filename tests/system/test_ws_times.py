# SPDX-License-Identifier: MIT
"""What happens after a while, with the while made short (--times)."""
import asyncio
import json
import os
import socket
import subprocess
import time

import pytest
import websockets
from stack import BUILD
from ws_kit import WAIT, Bridge, read_frame, receive, run, until, upgrade


def test_revoked_token_is_found():
    """It is looked up again in time; the connection is told, and closed with
    4401. One that is still good stays."""
    bridge = Bridge(["--times", "recheck=300"], ARAGORA_AUTH_REQUIRED="1")

    async def main():
        token_id, token = bridge.feed("token one").split()
        _, other = bridge.feed("token two").split()
        async with bridge.connect("/ws?token=" + other) as good:
            async with bridge.connect("/ws?token=" + token) as ws:
                await until(ws, "loop_list")
                await asyncio.sleep(1)
                assert ws.open
                bridge.feed("revoke " + token_id)
                gone = await until(ws, "auth_revoked")
                assert gone["data"]["code"] == "auth_revoked"
                with pytest.raises(websockets.ConnectionClosed) as e:
                    await receive(ws)
                assert e.value.rcvd.code == 4401
            assert good.open
            await good.send('{"type":"ping"}')
            await until(good, "pong")
    try:
        run(main())
    finally:
        bridge.close()


def test_reader_that_never_reads():
    """Nothing leaves for a while: 1013, and what it was owed is forgotten, so
    that the close frame follows what was begun."""
    bridge = Bridge(["--times", "stall=700,linger=20000"])
    try:
        bridge.feed.debate("d")
        with bridge.raw() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(upgrade("/ws?debate_id=d"))
            text = json.dumps({"content": "x" * 20000})
            for i in range(60):
                bridge.feed(f"commit d agent_message demo {text}")
                bridge.feed(f"publish d {i + 1}")
            bridge.wait_for_log("too slow")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += s.recv(1)
            seqs = []
            while True:
                opcode, payload = read_frame(s)
                if opcode == 8:
                    break
                seqs.append(json.loads(payload).get("seq"))
            seqs = [seq for seq in seqs if seq]
            assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) < 60
            assert int.from_bytes(payload[:2], "big") == 1013
            assert b"since" in payload
    finally:
        bridge.close()


def test_slow_handshake_is_cut():
    bridge = Bridge(["--times", "request=400"])
    try:
        with bridge.raw() as s:
            begun = time.monotonic()
            s.sendall(b"GET /ws HTTP/1.1\r\n")
            answer = s.recv(4096)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - begun >= 0.39
    finally:
        bridge.close()


def test_bad_times():
    bridge = Bridge()
    try:
        done = subprocess.run(
            [os.path.join(BUILD, "aragora-ws"), "--times", "nothing=1"],
            env=bridge.env, capture_output=True, text=True, timeout=WAIT,
            check=False)
        assert done.returncode == 78
        assert "--times" in done.stderr and "nothing=1" in done.stderr
    finally:
        bridge.close()
