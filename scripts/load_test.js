// SPDX-License-Identifier: MIT
//
// Load test for k6 (https://k6.io), with the service's objectives as
// thresholds: k6 exits with 99 when one of them is crossed.
//
//   k6 run --vus 100 --duration 5m scripts/load_test.js
//
//   BASE_URL   http://localhost:8080
//   API_KEY    a key of the tier "internal" (aragora token create), or start
//              the server with ARAGORA_DISABLE_ALL_RATE_LIMITS=1; without
//              either the rate limits are what is measured
//   MIN_RPS    requests a second that must be reached (50)
//   SUMMARY    file for the figures as JSON; unset = none
import http from "k6/http";
import { check, group, sleep } from "k6";
import { Counter, Rate, Trend } from "k6/metrics";

const BASE = (__ENV.BASE_URL || "http://localhost:8080").replace(/\/+$/, "");
const MIN_RPS = Number(__ENV.MIN_RPS || 50);
const CREATE_SHARE = 0.05;

const created = new Counter("debates_created");
const badAnswers = new Rate("bad_answers");
const createTime = new Trend("create_duration", true);

export const options = {
  vus: 100,
  duration: "5m",
  summaryTrendStats: ["avg", "min", "p(50)", "p(95)", "p(99)", "max"],
  thresholds: {
    http_req_duration: ["p(50)<200", "p(95)<500", "p(99)<2000"],
    http_req_failed: ["rate<0.01"],
    http_reqs: [`rate>${MIN_RPS}`],
    bad_answers: ["rate<0.01"],
    create_duration: ["p(95)<2000"],
  },
};

function params(name) {
  const headers = { "Content-Type": "application/json" };
  if (__ENV.API_KEY) headers.Authorization = `Bearer ${__ENV.API_KEY}`;
  return { headers, tags: { name } };
}

function expect(answer, status, has) {
  const ok = check(answer, {
    [`status is ${status}`]: (r) => r.status === status,
    "answer is as expected": (r) => {
      try {
        return has(r.json());
      } catch (e) {
        return false;
      }
    },
  });
  badAnswers.add(!ok);
  return ok;
}

function get(path, has) {
  const answer = http.get(`${BASE}${path}`, params(path.split("?")[0]));
  return expect(answer, 200, has);
}

// Is anybody there at all? Else every figure would be one of an error page.
export function setup() {
  const answer = http.get(`${BASE}/api/health`, params("/api/health"));
  if (answer.status !== 200)
    throw new Error(`${BASE}/api/health answers ${answer.status}`);
}

export default function () {
  group("read", () => {
    get("/api/health", (b) => b.status === "healthy" || b.status === "degraded");
    get("/api/agents", (b) => b.agents.length > 0);
    get("/api/debates?limit=10", (b) => Array.isArray(b.items));
    get("/api/leaderboard-view?limit=10", (b) => Array.isArray(b.global));
  });
  if (Math.random() < CREATE_SHARE)
    group("create", () => {
      const answer = http.post(
        `${BASE}/api/debates`,
        JSON.stringify({
          question: `Is ${__VU} or ${__ITER} the better number?`,
          agents: ["demo", "demo"],
          rounds: 1,
        }),
        params("/api/debates"),
      );
      createTime.add(answer.timings.duration);
      if (expect(answer, 201, (b) => typeof b.debate_id === "string")) {
        created.add(1);
        const id = answer.json("debate_id");
        get(`/api/debates/${id}`, (b) => b.debate_id === id);
      }
    });
  sleep(1);
}

export function handleSummary(data) {
  const out = {};
  const lines = [];
  for (const [name, metric] of Object.entries(data.metrics))
    for (const [limit, result] of Object.entries(metric.thresholds || {}))
      lines.push(`${result.ok ? "ok    " : "FAILED"} ${name} ${limit}`);
  out.stdout = `${lines.join("\n")}\n`;
  if (__ENV.SUMMARY)
    out[__ENV.SUMMARY] = JSON.stringify(data, null, 1);
  return out;
}
