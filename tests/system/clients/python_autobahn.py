# SPDX-License-Identifier: MIT
"""Debian's python3-autobahn, over asyncio."""
import asyncio
import urllib.parse

import scenario
from autobahn.asyncio.websocket import (WebSocketClientFactory,
                                        WebSocketClientProtocol)
from autobahn.websocket.compress import (PerMessageDeflateOffer,
                                         PerMessageDeflateResponse,
                                         PerMessageDeflateResponseAccept)


class Protocol(WebSocketClientProtocol):
    def onConnect(self, response):
        self.factory.client.is_deflated = any(
            e.EXTENSION_NAME == "permessage-deflate"
            for e in response.extensions)

    def onOpen(self):
        self.factory.client.opened.set_result(self)

    def onMessage(self, payload, isBinary):
        assert not isBinary
        self.factory.client.texts.put_nowait(payload.decode())

    def onPong(self, payload):
        self.factory.client.pongs.put_nowait(payload)

    def onClose(self, wasClean, code, reason):
        client = self.factory.client
        if not client.opened.done():
            client.opened.set_exception(ConnectionError(reason))
        client.closed.set_result((wasClean, self.remoteCloseCode))


def accept(response):
    """Whatever form of deflate the server agrees to."""
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


class Client:
    async def open(self, url, wants_deflate):
        loop = asyncio.get_running_loop()
        self.opened, self.closed = loop.create_future(), loop.create_future()
        self.texts, self.pongs = asyncio.Queue(), asyncio.Queue()
        self.receive = self.texts.get
        factory = WebSocketClientFactory(url)
        factory.client = self
        factory.protocol = Protocol
        if wants_deflate:
            factory.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()],
                perMessageCompressionAccept=accept)
        parts = urllib.parse.urlsplit(url)
        await loop.create_connection(factory, parts.hostname, parts.port)
        self.ws = await self.opened

    async def send(self, text):
        self.ws.sendMessage(text.encode())

    async def ping(self, payload):
        self.ws.sendPing(payload)
        assert await self.pongs.get() == payload

    async def close(self, code):
        self.ws.sendClose(code)
        was_clean, code = await self.closed
        assert was_clean
        return code


scenario.main(Client())
