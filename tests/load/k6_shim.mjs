// SPDX-License-Identifier: MIT
//
// As much of k6 as scripts/load_test.js uses, so that the script is run by
// every check although k6 cannot be had there. It shows that the script works;
// it is no load generator: under load it would measure itself.
//
//   node tests/load/k6_shim.mjs [--vus N] [--iterations N] [-e NAME=VALUE]...
//        SCRIPT
//
// Each virtual user is a thread that waits for its requests, which the main
// thread sends. Exit status as k6's: 0, 99 when a threshold is crossed, 107
// when the script fails.
import { register } from "node:module";
import http from "node:http";
import path from "node:path";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import {
  Worker, isMainThread, receiveMessageOnPort, workerData,
  MessageChannel,
} from "node:worker_threads";

const MODULES = {
  k6: "export const check = k6.check, group = k6.group, sleep = k6.sleep;",
  "k6/http": "export default k6.http;",
  "k6/metrics":
    "export const Counter = k6.Counter, Rate = k6.Rate, Trend = k6.Trend;",
};
const HOOKS = `
const modules = ${JSON.stringify(MODULES)};
export async function resolve(name, context, next) {
  if (name in modules) return { url: "k6:" + name, shortCircuit: true };
  return next(name, context);
}
export async function load(url, context, next) {
  if (url.startsWith("k6:"))
    return { format: "module", shortCircuit: true,
             source: "const k6 = globalThis.k6;" + modules[url.slice(3)] };
  if (url.endsWith("load_test.js"))
    return next(url, { ...context, format: "module" });
  return next(url, context);
}`;

const THRESHOLD = /^(p\((\d+)\)|rate|count|avg|max|min)\s*(<=|>=|<|>)\s*([\d.]+)$/;

// ---- a virtual user ----

function makeK6(port, signal) {
  const ask = (message) => {
    Atomics.store(signal, 0, 0);
    port.postMessage(message);
    Atomics.wait(signal, 0, 0);
    return receiveMessageOnPort(port).message;
  };
  const note = (metric, value) => port.postMessage({ metric, value });
  const kind = (type) => class {
    constructor(name) {
      this.name = name;
      note("_", { name, type });
    }
    add(value) {
      note(this.name, Number(value));
    }
  };
  const request = (method, url, body, params = {}) => {
    const r = ask({ method, url, body, headers: params.headers ?? {} });
    note("http_reqs", 1);
    note("http_req_duration", r.duration);
    note("http_req_failed", Number(r.status < 200 || r.status >= 400));
    return {
      status: r.status, body: r.body, headers: r.headers,
      timings: { duration: r.duration },
      json: (key) => {
        const value = JSON.parse(r.body);
        return key === undefined ? value : value[key];
      },
    };
  };
  return {
    http: {
      get: (url, params) => request("GET", url, null, params),
      post: (url, body, params) => request("POST", url, body, params),
    },
    check: (value, tests) => {
      let all = true;
      for (const test of Object.values(tests)) {
        const ok = Boolean(test(value));
        note("checks", Number(ok));
        all &&= ok;
      }
      return all;
    },
    group: (name, fn) => fn(),
    sleep: () => {}, // it is about the script, not about the load
    Counter: kind("counter"), Rate: kind("rate"), Trend: kind("trend"),
  };
}

async function user() {
  const { port, signal, script, vu, iterations, env } = workerData;
  globalThis.k6 = makeK6(port, new Int32Array(signal));
  globalThis.__ENV = env;
  globalThis.__VU = vu;
  globalThis.__ITER = 0;
  register("data:text/javascript," + encodeURIComponent(HOOKS));
  const m = await import(pathToFileURL(script).href);
  if (vu === 0) {
    m.setup?.();
    return { options: m.options, hasSummary: Boolean(m.handleSummary) };
  }
  for (globalThis.__ITER = 0; __ITER < iterations; globalThis.__ITER++)
    m.default();
  return {};
}

// ---- the run ----

function send(agent, message) {
  return new Promise((done) => {
    const began = performance.now();
    const r = http.request(message.url, {
      agent, method: message.method, headers: message.headers,
    }, (answer) => {
      const parts = [];
      answer.on("data", (d) => parts.push(d));
      answer.on("end", () => done({
        status: answer.statusCode, headers: answer.headers,
        body: Buffer.concat(parts).toString(),
        duration: performance.now() - began,
      }));
    });
    r.on("error", () => done({
      status: 0, headers: {}, body: "", duration: performance.now() - began,
    }));
    r.end(message.body);
  });
}

function start(agent, metrics, data) {
  return new Promise((done, fail) => {
    const { port1, port2 } = new MessageChannel();
    const signal = new SharedArrayBuffer(4);
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { ...data, port: port2, signal }, transferList: [port2],
    });
    port1.on("message", async (message) => {
      // By the same way as its figures, so that it comes behind them.
      if ("result" in message) {
        port1.close();
        done(message.result);
        return;
      }
      if ("metric" in message) {
        if (message.metric === "_")
          metrics.set(message.value.name,
            metrics.get(message.value.name) ??
              { type: message.value.type, values: [] });
        else metrics.get(message.metric).values.push(message.value);
        return;
      }
      port1.postMessage(await send(agent, message));
      Atomics.store(new Int32Array(signal), 0, 1);
      Atomics.notify(new Int32Array(signal), 0);
    });
    worker.on("error", fail);
  });
}

function figure(metric, word, percent, seconds) {
  const v = metric.values;
  const sum = v.reduce((a, b) => a + b, 0);
  if (word.startsWith("p(")) {
    const sorted = [...v].sort((a, b) => a - b);
    const at = Math.ceil((Number(percent) / 100) * sorted.length) - 1;
    return sorted.length === 0 ? 0 : sorted[Math.max(at, 0)];
  }
  switch (word) {
    case "count": return sum;
    case "rate":
      return metric.type === "rate" ? sum / Math.max(v.length, 1)
        : sum / seconds;
    case "avg": return v.length === 0 ? 0 : sum / v.length;
    case "max": return Math.max(0, ...v);
    default: return v.length === 0 ? 0 : Math.min(...v);
  }
}

function judge(metrics, thresholds, seconds) {
  const data = { metrics: {} };
  let crossed = false;
  for (const [name, m] of metrics)
    data.metrics[name] = {
      type: m.type,
      values: { count: m.values.length, avg: figure(m, "avg", 0, seconds) },
    };
  for (const [name, limits] of Object.entries(thresholds)) {
    if (!metrics.has(name)) throw new Error(`no metric ${name}`);
    const out = (data.metrics[name].thresholds = {});
    for (const limit of limits) {
      const t = THRESHOLD.exec(limit);
      if (!t) throw new Error(`${name}: threshold '${limit}'`);
      const value = figure(metrics.get(name), t[1], t[2], seconds);
      const bound = Number(t[4]);
      const ok = { "<": value < bound, "<=": value <= bound,
                   ">": value > bound, ">=": value >= bound }[t[3]];
      out[limit] = { ok, value };
      crossed ||= !ok;
    }
  }
  return { data, crossed };
}

function options(argv) {
  const o = { vus: 2, iterations: 5, env: {}, script: null };
  for (let i = 0; i < argv.length; i++)
    if (argv[i] === "--vus") o.vus = Number(argv[++i]);
    else if (argv[i] === "--iterations") o.iterations = Number(argv[++i]);
    else if (argv[i] === "-e") {
      const [name, ...value] = argv[++i].split("=");
      o.env[name] = value.join("=");
    } else o.script = path.resolve(argv[i]);
  if (o.script === null || !(o.vus > 0) || !(o.iterations > 0)) {
    console.error("usage: k6_shim.mjs [--vus N] [--iterations N] " +
      "[-e NAME=VALUE]... SCRIPT");
    process.exit(64);
  }
  return o;
}

async function run() {
  const o = options(process.argv.slice(2));
  const agent = new http.Agent({ keepAlive: true });
  const metrics = new Map([
    ["http_reqs", { type: "counter", values: [] }],
    ["http_req_duration", { type: "trend", values: [] }],
    ["http_req_failed", { type: "rate", values: [] }],
    ["checks", { type: "rate", values: [] }],
  ]);
  const data = { script: o.script, env: o.env, iterations: o.iterations };
  const began = performance.now();
  const first = await start(agent, metrics, { ...data, vu: 0 });
  await Promise.all(Array.from({ length: o.vus }, (_, i) =>
    start(agent, metrics, { ...data, vu: i + 1 })));
  const seconds = (performance.now() - began) / 1000;
  agent.destroy();
  const { data: summary, crossed } =
    judge(metrics, first.options.thresholds, seconds);
  if (first.hasSummary) {
    globalThis.__ENV = o.env;
    globalThis.k6 = makeK6({ postMessage() {} }, null);
    register("data:text/javascript," + encodeURIComponent(HOOKS));
    const m = await import(pathToFileURL(o.script).href);
    for (const [to, text] of Object.entries(m.handleSummary(summary)))
      if (to === "stdout") process.stdout.write(text);
      else writeFileSync(to, text);
  }
  console.log(`checks ${metrics.get("checks").values.filter(Boolean).length}` +
    `/${metrics.get("checks").values.length}`);
  process.exit(crossed ? 99 : 0);
}

if (isMainThread) {
  run().catch((e) => {
    console.error(String(e));
    process.exit(107);
  });
} else {
  user().then((result) => {
    workerData.port.postMessage({ result: {
      options: result.options && { thresholds: result.options.thresholds },
      hasSummary: result.hasSummary,
    } });
  });
}
