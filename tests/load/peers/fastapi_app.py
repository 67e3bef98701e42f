# SPDX-License-Identifier: MIT
"""The two endpoints under FastAPI and uvicorn (uvloop, httptools); asyncpg
keeps its statement prepared on each connection, ujson writes the answers, and
they are handed over as responses, past FastAPI's own encoder."""
import datetime
import json
import os
import time

import asyncpg
from fastapi import FastAPI
from fastapi.responses import UJSONResponse

STARTED = time.monotonic()
ROW = ("SELECT id, task, status, rounds, confidence, consensus_reached, "
       "tags, created_at, final_answer FROM peer_debates WHERE id = $1")

app = FastAPI()


async def decode_json(connection):
    await connection.set_type_codec("json", schema="pg_catalog",
                                    encoder=json.dumps, decoder=json.loads)


@app.on_event("startup")
async def start():
    n = int(os.environ["PEER_CONNECTIONS"])
    app.state.pool = await asyncpg.create_pool(
        host=os.environ["PEER_HOST"], user=os.environ["PEER_USER"],
        database=os.environ["PEER_DATABASE"], min_size=n, max_size=n,
        init=decode_json)


@app.get("/health")
async def health():
    now = datetime.datetime.utcnow().isoformat(timespec="microseconds")
    return UJSONResponse({
        "status": "healthy", "version": "0.1.0",
        "uptime_seconds": int(time.monotonic() - STARTED) % 100,
        "active_debates": 0, "websocket_connections": 0,
        "database": "connected", "redis": "not_configured", "schema": 10,
        "schema_range": {"min": 10, "max": 10}, "timestamp": now + "Z"})


@app.get("/debates/{debate_id}")
async def row(debate_id: str):
    found = await app.state.pool.fetchrow(ROW, debate_id)
    if found is None:
        return UJSONResponse({"error": "there is no such debate"}, 404)
    return UJSONResponse(dict(found))
