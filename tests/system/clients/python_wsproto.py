# SPDX-License-Identifier: MIT
"""Debian's python3-wsproto, which leaves the socket to us."""
import asyncio
import collections
import urllib.parse

import scenario
from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate


class Client:
    async def open(self, url, wants_deflate):
        parts = urllib.parse.urlsplit(url)
        self.reader, self.writer = await asyncio.open_connection(
            parts.hostname, parts.port)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.texts = collections.deque()
        self.pieces = []
        self.state = {}
        extensions = [PerMessageDeflate()] if wants_deflate else []
        self.write(events.Request(
            host=parts.netloc, target=f"{parts.path}?{parts.query}",
            extensions=extensions))
        await self.read_until("accepted")
        self.is_deflated = any(isinstance(e, PerMessageDeflate)
                               for e in self.state["accepted"].extensions)

    def write(self, event):
        self.writer.write(self.ws.send(event))

    def handle(self, event):
        if isinstance(event, events.AcceptConnection):
            self.state["accepted"] = event
        elif isinstance(event, events.TextMessage):
            self.pieces.append(event.data)
            if event.message_finished:
                self.texts.append("".join(self.pieces))
                self.pieces = []
        elif isinstance(event, events.Ping):
            self.write(event.response())
        elif isinstance(event, events.Pong):
            self.state["pong"] = bytes(event.payload)
        elif isinstance(event, events.CloseConnection):
            self.state["code"] = event.code
        else:
            raise AssertionError(event)

    async def read(self):
        data = await self.reader.read(65536)
        assert data, "the connection ended"
        self.ws.receive_data(data)
        for event in self.ws.events():
            self.handle(event)

    async def read_until(self, name):
        while name not in self.state:
            await self.read()

    async def send(self, text):
        self.write(events.TextMessage(data=text))
        await self.writer.drain()

    async def receive(self):
        while not self.texts:
            await self.read()
        return self.texts.popleft()

    async def ping(self, payload):
        self.write(events.Ping(payload=payload))
        await self.read_until("pong")
        assert self.state["pong"] == payload

    async def close(self, code):
        self.write(events.CloseConnection(code=code))
        await self.read_until("code")
        self.writer.close()
        return self.state["code"]


scenario.main(Client())
