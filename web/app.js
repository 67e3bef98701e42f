// SPDX-License-Identifier: MIT
// The console: ask, watch, read. Agents' text is hostile, so everything is
// written with textContent; events are applied once each, in order of seq.
"use strict";

const $ = (id) => document.getElementById(id);

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const percent = (x) => `${Math.round((Number(x) || 0) * 100)} %`;

// ---- REST ----

class ApiError extends Error {
  constructor(status, body) {
    super(body.message || body.error || `The server answered ${status}.`);
    this.status = status;
    this.errors = body.errors || [];
  }
}

function token() {
  return sessionStorage.getItem("token") || "";
}

async function api(path, options = {}) {
  const headers = { Accept: "application/json" };
  if (options.body) headers["Content-Type"] = "application/json";
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new ApiError(0, { message: "The server cannot be reached." });
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) $("token-row").hidden = false;
  if (!answer.ok) throw new ApiError(answer.status, body);
  return body;
}

function explain(error) {
  const lines = (error.errors || []).map((e) => `${e.field}: ${e.message}`);
  if (error.status === 401) lines.push("Enter an access token above.");
  return lines.length ? lines.join("\n") : error.message;
}

function show(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

// ---- asking ----

async function loadAgents() {
  const { agents } = await api("/api/agents?limit=100");
  $("agents").replaceChildren(...agents.map((agent) => {
    const label = element("label", agent.available ? "" : "off");
    const box = element("input");
    box.type = "checkbox";
    box.value = agent.name;
    box.disabled = !agent.available;
    label.append(box, agent.name === "demo" ? "demo (offline, no model)" : agent.name);
    return label;
  }));
}

async function loadRecent() {
  const { debates } = await api("/api/debates?limit=10");
  const rows = debates.map((d) => {
    const row = element("li");
    const link = element("a", "", d.task);
    link.href = `#/debates/${encodeURIComponent(d.debate_id)}`;
    row.append(link, element("span", `badge ${d.status}`, d.status));
    return row;
  });
  if (!rows.length) rows.push(element("li", "hint", "None yet."));
  $("recent").replaceChildren(...rows);
}

async function loadHealth() {
  try {
    const h = await api("/api/health");
    $("health").textContent = h.status === "healthy"
      ? `${h.active_debates} running` : h.status;
  } catch (e) {
    $("health").textContent = "offline";
  }
}

function request() {
  const body = { task: $("question").value };
  const chosen = [...document.querySelectorAll("#agents input:checked")].map((b) => b.value);
  // One demo alone would have nobody to argue with: seat three.
  if (chosen.length === 1 && chosen[0] === "demo") chosen.push("demo", "demo");
  if (chosen.length) body.agents = chosen;
  if ($("rounds").value) body.rounds = Number($("rounds").value);
  if ($("rule").value) body.consensus = $("rule").value;
  if ($("context").value.trim()) body.context = $("context").value;
  return body;
}

async function ask(event) {
  event.preventDefault();
  show("error", "");
  if ($("token").value) sessionStorage.setItem("token", $("token").value);
  $("ask").disabled = true;
  try {
    const d = await api("/api/debates", {
      method: "POST", body: JSON.stringify(request()),
    });
    location.hash = `#/debates/${encodeURIComponent(d.debate_id)}`;
  } catch (e) {
    show("error", explain(e));
  } finally {
    $("ask").disabled = false;
  }
}

// ---- one debate ----

class Debate {
  constructor(id) {
    this.id = id;
    this.seen = 0;          // last seq applied
    this.streams = new Map(); // agent -> card being written
    this.over = false;
    this.closed = false;
    this.tries = 0;
  }

  async open() {
    try {
      this.describe(await api(`/api/debates/${encodeURIComponent(this.id)}`));
    } catch (e) {
      show("notice", e.status === 404 ? "There is no such debate." : explain(e));
      if (e.status === 404) return;
    }
    if (!this.closed) this.connect();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    if (this.socket) this.socket.close();
  }

  describe(d) {
    $("task").textContent = d.task;
    document.title = `${d.task} - Aragora`;
    this.setStatus(d.status);
    $("demo-note").hidden = !(d.agents || []).some((a) => /^demo(_\d+)?$/.test(a));
    if (!d.in_progress) this.result(d);
  }

  setStatus(status) {
    $("status").textContent = status;
    $("status").className = `badge ${status}`;
    this.over = ["completed", "failed", "cancelled"].includes(status);
    $("cancel").hidden = this.over;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = new URLSearchParams({ debate_id: this.id });
    if (this.seen) query.set("since", this.seen);
    const protocols = ["aragora-v1"];
    if (token()) protocols.push(`access_token.${token()}`);
    this.socket = new WebSocket(`${scheme}://${location.host}/ws?${query}`, protocols);
    this.socket.onmessage = (m) => this.take(JSON.parse(m.data));
    this.socket.onclose = () => this.lost();
  }

  lost() {
    if (this.closed || this.ended) return;
    for (const card of this.streams.values()) card.root.remove();
    this.streams.clear();
    this.tries += 1;
    const wait = Math.min(15000, 250 * 2 ** this.tries) * (0.5 + Math.random());
    show("notice", "The connection was lost; trying again.");
    this.timer = setTimeout(() => this.connect(), wait);
  }

  take(e) {
    if (e.debate_id && e.debate_id !== this.id) return;
    if (e.type === "connection_info") {
      this.tries = 0;
      show("notice", "");
    }
    if (e.type === "warning") show("notice", e.data.message || "");
    if (e.seq !== undefined) {
      if (e.seq <= this.seen) return;
      if (e.seq > this.seen + 1) { // never expected: fetch what is missing
        this.socket.close();
        return;
      }
      this.seen = e.seq;
    }
    const handler = this[`on_${e.type}`];
    if (handler) handler.call(this, e.data, e);
  }

  add(node) {
    const atEnd = window.innerHeight + window.scrollY >= document.body.offsetHeight - 120;
    $("live").append(node);
    if (atEnd && !this.over) node.scrollIntoView({ block: "nearest" });
    return node;
  }

  card(kind, who, what, text) {
    const root = element("article", `card ${kind}`);
    const head = element("header");
    const label = element("span", "what", what);
    head.append(element("span", "who", who), label);
    const body = element("div", "text", text);
    root.append(head, body);
    this.add(root);
    return { root, body, label };
  }

  // The text that was streamed is replaced by the whole one.
  settle(agent) {
    const stream = this.streams.get(agent);
    if (stream) stream.root.remove();
    this.streams.delete(agent);
  }

  on_debate_start(d) {
    $("task").textContent = d.task;
    if (!this.over) this.setStatus("running");
  }

  on_round_start(d) {
    $("progress").textContent = `Round ${d.round_number} of ${d.total_rounds}`;
    this.add(element("div", "round", `Round ${d.round_number}`));
  }

  on_phase_change(d) {
    const names = {
      propose: "Proposals", critique: "Critiques", revise: "Revisions",
      vote: "Votes", consensus: "Decision", synthesis: "Final answer",
    };
    this.add(element("div", "phase", names[d.phase] || d.phase));
  }

  on_token_start(d) {
    if (this.over) return;
    this.settle(d.agent);
    const card = this.card("streaming", d.agent, "is writing", "");
    card.root.setAttribute("aria-hidden", "true"); // read out when whole
    this.streams.set(d.agent, card);
  }

  on_token_delta(d) {
    const stream = this.streams.get(d.agent);
    if (stream) stream.body.textContent += d.delta;
  }

  on_token_end(d) {
    const stream = this.streams.get(d.agent);
    if (stream) stream.root.classList.remove("streaming");
  }

  on_agent_message(d) {
    this.settle(d.agent);
    this.card("", d.agent,
      `${d.role === "judge" ? "judges" : "proposes"}, confidence ${percent(d.confidence)}`,
      d.content);
  }

  on_critique(d) {
    this.card("critique", d.critic,
      `to ${d.target}, severity ${Math.round(d.severity)} of 10${d.fatal ? ", fatal" : ""}`,
      d.content);
  }

  on_revision(d) {
    this.settle(d.agent);
    const what = d.changed ? "changed its mind" : "keeps its position";
    const card = this.card(d.changed ? "changed" : "", d.agent,
      `${what}, confidence ${percent(d.confidence)}`, d.content);
    if (d.why) card.root.insertBefore(element("p", "hint", d.why), card.body);
  }

  on_vote(d) {
    this.card("vote", d.agent,
      d.choice ? `votes for ${d.choice}, confidence ${percent(d.confidence)}` : "abstains",
      d.reasoning);
  }

  on_synthesis(d) {
    this.settle(d.agent);
  }

  on_agent_error(d) {
    this.settle(d.agent);
    this.card("failure", d.agent, `could not answer (${d.phase})`, d.message);
  }

  on_debate_end(d) {
    this.ended = true;
    for (const agent of [...this.streams.keys()]) this.settle(agent);
    this.setStatus(d.status);
    if (d.status === "failed") show("notice", `The debate failed: ${d.reason}`);
    if (d.debate) this.result(d.debate);
    this.socket.close(1000);
  }

  result(d) {
    const c = d.consensus || {};
    $("result").hidden = !d.final_answer;
    $("answer").textContent = d.final_answer || "";
    $("confidence").textContent = percent(d.confidence);
    $("agreement").textContent = percent(c.agreement);
    $("consensus").textContent = c.reached ? `reached (${c.method})` : `not reached (${c.method})`;
    $("supporters").textContent = (c.supporting_agents || []).join(", ") || "nobody";
    const views = (c.dissent || []).map((text) => element("div", "card text dissenter", text));
    if (!views.length) views.push(element("p", "hint", "Nobody disagreed."));
    $("dissent").replaceChildren(...views);
  }
}

// ---- pages ----

let current = null;

function route() {
  const match = location.hash.match(/^#\/debates\/([^/]+)$/);
  if (current) current.close();
  current = null;
  show("notice", "");
  $("ask-section").hidden = Boolean(match);
  $("debate-section").hidden = !match;
  if (!match) {
    document.title = "Aragora";
    loadAgents().catch((e) => show("error", explain(e)));
    loadRecent().catch(() => {});
    return;
  }
  $("live").replaceChildren();
  $("result").hidden = true;
  $("cancel").hidden = true;
  $("task").textContent = "";
  $("status").textContent = "";
  $("progress").textContent = "";
  current = new Debate(decodeURIComponent(match[1]));
  current.open();
}

async function cancel() {
  if (!current) return;
  $("cancel").disabled = true;
  try {
    await api(`/api/debates/${encodeURIComponent(current.id)}/cancel`, { method: "POST" });
  } catch (e) {
    show("notice", explain(e));
  } finally {
    $("cancel").disabled = false;
  }
}

$("ask-form").addEventListener("submit", ask);
$("question").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $("ask-form").requestSubmit();
});
$("cancel").addEventListener("click", cancel);
window.addEventListener("hashchange", route);
loadHealth();
setInterval(loadHealth, 15000);
route();
