// SPDX-License-Identifier: MIT
// The two endpoints under Fastify, serialised by their schemas; pg prepares
// the named statement once for each connection.
//
//     node fastify.mjs FOLDER-OF-NODE-MODULES SOCKET CONNECTIONS
import { createRequire } from "node:module";

const [, , modules, socket, connections] = process.argv;
const require = createRequire(`${modules}/`);
const fastify = require("fastify");
const pg = require("pg");

const text = { type: "string" };
const integer = { type: "integer" };
const healthSchema = {
  type: "object",
  properties: {
    status: text, version: text, uptime_seconds: integer,
    active_debates: integer, websocket_connections: integer,
    database: text, redis: text, schema: integer,
    schema_range: {
      type: "object", properties: { min: integer, max: integer },
    },
    timestamp: text,
  },
};
const rowSchema = {
  type: "object",
  properties: {
    id: text, task: text, status: text, rounds: integer,
    confidence: { type: "number" }, consensus_reached: { type: "boolean" },
    tags: { type: "array", items: text }, created_at: text,
    final_answer: text,
  },
};
const errorSchema = { type: "object", properties: { error: text } };

const pool = new pg.Pool({
  connectionString: process.env.PEER_URL, max: Number(connections),
  idleTimeoutMillis: 0,
});
const app = fastify();

app.get("/health", { schema: { response: { 200: healthSchema } } }, () => {
  // Microseconds as the others have them.
  const now = new Date().toISOString().replace("Z", "000Z");
  return {
    status: "healthy", version: "0.1.0",
    uptime_seconds: Math.floor(process.uptime()) % 100, active_debates: 0,
    websocket_connections: 0, database: "connected",
    redis: "not_configured", schema: 10, schema_range: { min: 10, max: 10 },
    timestamp: now,
  };
});
app.get("/debates/:id", {
  schema: { response: { 200: rowSchema, 404: errorSchema } },
}, async (request, reply) => {
  const { rows } = await pool.query({
    name: "row",
    text: "SELECT id, task, status, rounds, confidence, consensus_reached, " +
      "tags, created_at, final_answer FROM peer_debates WHERE id = $1",
    values: [request.params.id],
  });
  if (rows.length === 0) {
    return reply.code(404).send({ error: "there is no such debate" });
  }
  return rows[0];
});

for (const name of ["SIGTERM", "SIGINT"]) {
  process.on(name, () => process.exit(0));
}
await app.listen({ path: socket });
