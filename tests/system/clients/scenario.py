# SPDX-License-Identifier: MIT
"""What a client of the bridge does in test_ws_clients.py, over any library
that can be made to look like this:

    await client.open(url, wants_deflate)
    await client.send(text); text = await client.receive()
    await client.ping(payload)            # returns after the pong
    code = await client.close(1000)       # the code that came back
    client.is_deflated                    # was compression agreed upon?

Speaks to the test by lines: "joined" when live events may come, then one JSON
object. node_ws.js does the same in its own language.
"""
import asyncio
import json
import sys

SECONDS = 60


class Scenario:
    def __init__(self, client):
        self.client = client
        self.seen = {}

    async def receive(self):
        text = await asyncio.wait_for(self.client.receive(), SECONDS)
        assert isinstance(text, str)
        m = json.loads(text)
        if "seq" in m:
            self.seen.setdefault(m["debate_id"], []).append(
                [m["seq"], m.get("replayed", False),
                 len(m["data"].get("content", ""))])
        return m

    async def until(self, kind, debate_id=None):
        while True:
            m = await self.receive()
            if m["type"] == kind and m.get("debate_id") == debate_id:
                return m

    async def say(self, **message):
        await self.client.send(json.dumps(message, ensure_ascii=False))

    async def run(self, url, wants_deflate):
        await self.client.open(url + "/ws?debate_id=a", wants_deflate)
        await self.until("replay_end", "a")
        await self.say(type="ping", ts=17)
        pong = await self.until("pong")
        await asyncio.wait_for(self.client.ping(b"are you there"), SECONDS)
        # More than one frame header can say in its short form, both ways.
        await self.say(type="connection_quality", note="\u00e4" * 30000)
        await self.say(type="subscribe", debate_id="b", since=1)
        subscribed = await self.until("subscribed", "b")
        await self.until("replay_end", "b")
        await self.say(type="unsubscribe", debate_id="b")
        await self.until("unsubscribed", "b")
        print("joined", flush=True)
        end = await self.until("debate_end", "a")
        await self.say(type="ping", ts="last")
        await self.until("pong")
        code = await asyncio.wait_for(self.client.close(1000), SECONDS)
        print(json.dumps({
            "is_deflated": self.client.is_deflated, "seen": self.seen,
            "pong": pong["data"]["client_ts"], "end": end["seq"],
            "subscribed": subscribed["data"]["latest_seq"], "code": code}))


def main(client):
    asyncio.run(Scenario(client).run(sys.argv[1], sys.argv[2] == "deflate"))
