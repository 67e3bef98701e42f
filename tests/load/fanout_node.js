// SPDX-License-Identifier: MIT
// What one writes first: npm's ws behind Redis. fanout_node.js PORT REDIS-PATH
"use strict";
const { WebSocketServer } = require("ws");
const Redis = require("ioredis");

const [port, path] = process.argv.slice(2);
const channels = new Map();
const redis = new Redis({ path });
const server = new WebSocketServer(
  { port: Number(port), host: "127.0.0.1", perMessageDeflate: false,
    backlog: 4096 });

redis.on("messageBuffer", (channel, message) => {
  for (const ws of channels.get(channel.toString()) || [])
    ws.send(message, { binary: false });
});
server.on("connection", (ws, request) => {
  const id = new URL(request.url, "http://x").searchParams.get("id");
  if (!channels.has(id)) {
    channels.set(id, new Set());
    redis.subscribe(id);
  }
  channels.get(id).add(ws);
  ws.on("close", () => channels.get(id).delete(ws));
  ws.on("error", () => {});
});
