// SPDX-License-Identifier: MIT
// npm's ws; the steps of scenario.py.
"use strict";
const WebSocket = require("ws");

const [url, deflate] = process.argv.slice(2);
const ws = new WebSocket(url + "/ws?debate_id=a",
  { perMessageDeflate: deflate === "deflate" });
const seen = {};
const queue = [];
let wake = null;

function arrived(item) {
  queue.push(item);
  if (wake)
    wake();
}

ws.on("message", (data, isBinary) => {
  if (isBinary)
    throw new Error("a binary message");
  const m = JSON.parse(data.toString());
  if ("seq" in m)
    (seen[m.debate_id] = seen[m.debate_id] || []).push(
      [m.seq, m.replayed || false, (m.data.content || "").length]);
  arrived({ kind: m.type, id: m.debate_id, m });
});
ws.on("pong", (data) => arrived({ kind: "PONG", m: data.toString() }));
ws.on("close", (code) => arrived({ kind: "CLOSE", m: code }));
ws.on("error", (e) => { throw e; });

async function until(kind, id) {
  for (;;) {
    while (queue.length > 0) {
      const item = queue.shift();
      if (item.kind === kind && item.id === id)
        return item.m;
      if (item.kind === "CLOSE")
        throw new Error(`closed with ${item.m}`);
    }
    await new Promise((resolve) => { wake = resolve; });
  }
}

function say(message) {
  ws.send(JSON.stringify(message));
}

async function main() {
  await new Promise((resolve) => { ws.on("open", resolve); });
  await until("replay_end", "a");
  say({ type: "ping", ts: 17 });
  const pong = await until("pong");
  ws.ping("are you there");
  if (await until("PONG") !== "are you there")
    throw new Error("another pong");
  say({ type: "connection_quality", note: "\u00e4".repeat(30000) });
  say({ type: "subscribe", debate_id: "b", since: 1 });
  const subscribed = await until("subscribed", "b");
  await until("replay_end", "b");
  say({ type: "unsubscribe", debate_id: "b" });
  await until("unsubscribed", "b");
  console.log("joined");
  const end = await until("debate_end", "a");
  say({ type: "ping", ts: "last" });
  await until("pong");
  ws.close(1000);
  const code = await until("CLOSE");
  console.log(JSON.stringify({
    is_deflated: ws.extensions.includes("permessage-deflate"), seen,
    pong: pong.data.client_ts, end: end.seq,
    subscribed: subscribed.data.latest_seq, code,
  }));
}

main();
