# SPDX-License-Identifier: MIT
"""Debian's python3-websockets."""
import scenario
import websockets


class Client:
    async def open(self, url, wants_deflate):
        self.ws = await websockets.connect(
            url, compression="deflate" if wants_deflate else None,
            ping_interval=None)
        self.is_deflated = any(e.name == "permessage-deflate"
                               for e in self.ws.extensions)
        self.send = self.ws.send
        self.receive = self.ws.recv

    async def ping(self, payload):
        await (await self.ws.ping(payload))

    async def close(self, code):
        await self.ws.close(code)
        return self.ws.close_code


scenario.main(Client())
