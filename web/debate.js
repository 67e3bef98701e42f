// SPDX-License-Identifier: MIT
// One debate: its log as it happens, and its result.
import { cancelDebate, explain, getDebate } from "./api.js";
import { $, announce, element, percent, prose, ratio, say } from "./dom.js";
import { Stream } from "./stream.js";

const SEAT_COLOURS = 8;
const NEAR_END = 80; // pixels

const PHASES = {
  propose: "Proposals", critique: "Critiques", revise: "After the critiques",
  vote: "Votes", consensus: "Decision", synthesis: "Final answer",
};

const STATUSES = {
  pending: "waiting for a runner", running: "running", paused: "paused",
  completed: "completed", failed: "failed", cancelled: "cancelled",
};

const FAILURES = {
  timeout: "it ran longer than this server allows",
  insufficient_participation: "too few agents answered",
};

const isFinal = (status) => ["completed", "failed", "cancelled"].includes(status);
const isDemo = (agent) => /^demo(_\d+)?$/.test(agent);

export class DebatePage {
  constructor(id) {
    this.id = id;
    this.seats = new Map(); // agent -> its place, from 0
    this.writing = new Map(); // agent -> card with the text so far
    this.written = new Set(); // agents whose text is whole
    this.phase = ""; // its heading is written with its first card
    this.grid = null; // cards of the phase
    this.isClosed = false;
    this.isCatchingUp = false;
    this.follows = true; // keeps the end of the log in view
    this.lastY = window.scrollY;
    this.onScroll = this.onScroll.bind(this);
    window.addEventListener("scroll", this.onScroll, { passive: true });
    for (const part of ["task", "status", "progress", "seats", "log", "dissent"])
      $(part).replaceChildren();
    for (const part of ["connection", "notice", "result", "cancel", "demo-note"])
      $(part).hidden = true;
    $("status").className = "badge";
    $("cancel").onclick = () => this.cancel();
  }

  async open() {
    try {
      this.describe(await getDebate(this.id));
    } catch (error) {
      if (this.isClosed) return;
      const isRefused = [400, 401, 403, 404].includes(error.status);
      say($(isRefused ? "notice" : "connection"),
        error.status === 404 ? "There is no such debate." : explain(error));
      if (isRefused) return;
    }
    if (this.isClosed) return;
    this.stream = new Stream(this.id, {
      event: (e) => this.take(e),
      live: () => say($("connection"), ""),
      lost: () => this.lost(),
      refused: (error) => {
        say($("connection"), "");
        this.complain(explain(error));
      },
    });
  }

  close() {
    this.isClosed = true;
    window.removeEventListener("scroll", this.onScroll);
    if (this.stream) this.stream.close();
  }

  async cancel() {
    $("cancel").disabled = true;
    try {
      await cancelDebate(this.id);
    } catch (error) {
      this.complain(explain(error));
    } finally {
      $("cancel").disabled = false;
    }
  }

  complain(text) {
    say($("notice"), text);
  }

  lost() {
    for (const agent of [...this.writing.keys()]) this.drop(agent);
    say($("connection"), "The connection was lost; trying again.");
  }

  take(e) {
    this.seq = e.seq; // of the card that is made of it
    const handler = this[`on_${e.type}`];
    if (handler) handler.call(this, e.data, e);
    if (this.isCatchingUp && e.seq >= this.lastStored) this.caughtUp();
    this.follow();
  }

  // ---- scrolling ----

  onScroll() {
    const page = document.documentElement;
    if (window.innerHeight + window.scrollY >= page.scrollHeight - NEAR_END)
      this.follows = true;
    else if (window.scrollY < this.lastY) this.follows = false; // the reader went up
    this.lastY = window.scrollY;
  }

  follow() {
    if (this.follows && !this.isCatchingUp && $("result").hidden)
      window.scrollTo({ top: document.documentElement.scrollHeight });
  }

  // ---- head ----

  describe(d) {
    $("task").textContent = d.task;
    document.title = `${d.task} - Aragora`;
    this.seat(d.agents || []);
    this.setStatus(d.status);
    if (!d.in_progress) this.showResult(d);
  }

  seat(agents) {
    if (!agents.length) return;
    agents.forEach((agent, i) => this.seats.set(agent, i));
    $("seats").replaceChildren(...agents.map((agent) => this.chip(agent)));
    $("demo-note").hidden = !agents.some(isDemo);
  }

  chip(agent) {
    const seat = this.seats.get(agent);
    const colour = seat === undefined ? "" : `seat${seat % SEAT_COLOURS}`;
    const chip = element("span", `chip ${colour}`, agent);
    if (isDemo(agent)) chip.title = "offline rules, not a language model";
    return chip;
  }

  setStatus(status) {
    $("status").textContent = STATUSES[status] || status;
    $("status").className = `badge ${status}`;
    $("cancel").hidden = isFinal(status);
  }

  on_sync(d) {
    if (d.status !== "waiting" && !isFinal(d.status)) this.setStatus(d.status);
    this.lastStored = d.latest_seq;
    this.isCatchingUp = d.latest_seq > this.stream.seen;
  }

  caughtUp() {
    this.isCatchingUp = false;
    announce("The debate so far is on the page.");
  }

  announce(text) {
    if (!this.isCatchingUp) announce(text);
  }

  // ---- log ----

  add(parent, node) {
    parent.append(node);
    return node;
  }

  phaseGrid() {
    if (this.grid) return this.grid;
    if (this.phase)
      this.add($("log"), element("h4", "phase", PHASES[this.phase] || this.phase));
    this.grid = this.add($("log"), element("div", `cards ${this.phase}`));
    return this.grid;
  }

  card() {
    return this.add(this.phaseGrid(), element("article", "card"));
  }

  /** A card where the agent sits among the others. */
  cardAt(agent) {
    const card = this.card();
    const seat = this.seats.get(agent);
    card.dataset.seat = seat;
    const next = [...this.grid.children].find((c) => Number(c.dataset.seat) > seat);
    if (next) this.grid.insertBefore(card, next);
    return card;
  }

  /** Who, what it does, and its words: in a new card, or in the one in which
   * they were being written. */
  fill(card, kind, agent, what, ...content) {
    const head = element("header");
    const verb = element("span", "what");
    verb.append(...[].concat(what));
    head.append(this.chip(agent), verb);
    card.className = `card ${kind}`;
    if (this.seq) card.dataset.seq = this.seq;
    card.removeAttribute("aria-hidden");
    card.replaceChildren(head, ...content.filter(Boolean));
    return card;
  }

  cardOf(agent) {
    const stream = this.writing.get(agent);
    this.writing.delete(agent);
    this.written.add(agent);
    return stream ? stream.card : this.cardAt(agent);
  }

  drop(agent) {
    const stream = this.writing.get(agent);
    if (stream) stream.card.remove();
    this.writing.delete(agent);
  }

  on_debate_start(d) {
    $("task").textContent = d.task;
    this.seat(d.agents || []);
    if ($("result").hidden) this.setStatus("running");
  }

  on_round_start(d) {
    const title = `Round ${d.round_number} of ${d.total_rounds}`;
    $("progress").textContent = title;
    this.add($("log"), element("h3", "round", title));
    this.phase = "";
    this.grid = null;
    this.announce(title);
  }

  on_phase_change(d) {
    for (const agent of [...this.writing.keys()]) this.drop(agent);
    this.written = new Set();
    this.phase = d.phase;
    this.grid = null;
  }

  // Text that is being written is hidden from those who listen: the whole of
  // it follows.
  write(agent) {
    const card = this.fill(this.cardAt(agent), "writing", agent, "is writing", prose(""));
    card.setAttribute("aria-hidden", "true");
    const stream = { card, body: card.lastChild, next: 1 };
    this.writing.set(agent, stream);
    return stream;
  }

  on_token_start(d) {
    this.drop(d.agent);
    this.written.delete(d.agent);
    this.write(d.agent);
  }

  on_token_delta(d) {
    if (this.written.has(d.agent)) return;
    const stream = this.writing.get(d.agent) || this.write(d.agent);
    if (d.agent_seq > stream.next) stream.body.append("\u2026 ");
    stream.body.append(d.delta);
    stream.next = d.agent_seq + 1;
  }

  on_token_end(d) {
    const stream = this.writing.get(d.agent);
    if (stream) stream.card.classList.remove("writing");
    this.written.add(d.agent);
  }

  on_agent_message(d) {
    const verb = d.role === "judge" ? "judges" : "proposes";
    const what = `${verb}, confidence ${percent(d.confidence)}`;
    this.fill(this.cardOf(d.agent), d.role, d.agent, what, prose(d.content));
    this.announce(`${d.agent} ${what}`);
  }

  on_critique(d) {
    const severity = `severity ${Math.round(d.severity)} of 10${d.fatal ? ", fatal" : ""}`;
    const badge = element("span", `severity ${d.severity_label}`, severity);
    const issues = this.points(d.issues);
    this.fill(this.card(), "critique", d.critic,
      ["to ", this.chip(d.target), badge],
      issues || prose(d.content),
      issues && this.points(d.suggestions, "suggestions"));
    this.announce(`${d.critic} criticises ${d.target}, ${severity}`);
  }

  points(texts, className = "") {
    if (!Array.isArray(texts) || !texts.length) return null;
    const list = element("ul", `points ${className}`);
    for (const text of texts) {
      const item = element("li", "text", text);
      item.dir = "auto";
      list.append(item);
    }
    return list;
  }

  on_revision(d) {
    const verb = d.changed ? "changed its mind" : "keeps its position";
    const what = `${verb}, confidence ${percent(d.confidence)}`;
    this.fill(this.cardOf(d.agent), d.changed ? "changed" : "kept", d.agent, what,
      d.why && prose(d.why, "hint"), prose(d.content),
      d.changed && d.original && this.before(d.original));
    this.announce(`${d.agent} ${what}`);
  }

  before(text) {
    const details = element("details", "before");
    details.append(element("summary", "", "What it said before"), prose(text));
    return details;
  }

  on_vote(d) {
    const what = d.choice ? ["votes for ", this.chip(d.choice),
      ` confidence ${percent(d.confidence)}`] : ["abstains"];
    this.fill(this.cardOf(d.agent), "vote", d.agent, what, prose(d.reasoning));
    this.announce(d.choice ? `${d.agent} votes for ${d.choice}` : `${d.agent} abstains`);
  }

  on_consensus(d) {
    const text = d.reached
      ? `Consensus reached by the rule "${d.method}".`
      : `No consensus by the rule "${d.method}".`;
    const line = element("p", "decision", `${text} Agreement ${percent(d.agreement)}.`);
    if (d.winner) line.append(" Ahead: ", this.chip(d.winner));
    this.add(this.phaseGrid(), line);
    this.announce(line.textContent);
  }

  on_synthesis(d) {
    this.fill(this.cardOf(d.agent), "synthesis", d.agent, "writes the final answer",
      prose(d.content));
  }

  on_agent_error(d) {
    this.fill(this.cardOf(d.agent), "failure", d.agent,
      `could not answer (${PHASES[d.phase] || d.phase})`, prose(d.message));
    this.announce(`${d.agent} could not answer`);
  }

  on_warning(d) {
    say($("connection"), d.message);
  }

  on_debate_end(d) {
    for (const agent of [...this.writing.keys()]) this.drop(agent);
    this.setStatus(d.status);
    say($("connection"), "");
    if (d.debate && $("result").hidden) {
      this.showResult(d.debate);
      if (this.follows) window.scrollTo({ top: 0 });
    }
    announce(`The debate is over: ${STATUSES[d.status] || d.status}.`);
  }

  // ---- result ----

  showResult(d) {
    const consensus = d.consensus || {};
    const supporters = (consensus.supporting_agents || []).map((a) => this.chip(a));
    $("result").hidden = !d.final_answer;
    $("answer").textContent = d.final_answer || "";
    this.measure($("confidence"), d.confidence);
    this.measure($("agreement"), consensus.agreement);
    $("consensus").textContent =
      `${consensus.reached ? "reached" : "not reached"} (${consensus.method})`;
    $("supporters").replaceChildren(...(supporters.length ? supporters : ["nobody"]));
    $("dissent").replaceChildren(...this.dissent(consensus));
    if (d.status === "cancelled") this.complain("This debate was cancelled.");
    if (d.status === "failed")
      this.complain(`The debate failed: ${FAILURES[d.error] || d.error}.`);
  }

  measure(node, value) {
    const meter = element("meter");
    meter.max = 1;
    meter.value = ratio(value);
    meter.setAttribute("aria-hidden", "true");
    node.replaceChildren(percent(value), meter);
  }

  // dissent[i] is what dissenting_agents[i] holds, with its name in front.
  dissent(consensus) {
    const agents = consensus.dissenting_agents || [];
    const views = (consensus.dissent || []).map((text, i) => {
      const agent = agents[i];
      const card = element("article", "card");
      if (agent !== undefined && text.startsWith(`${agent}: `))
        return this.fill(card, "dissenter", agent, "holds",
          prose(text.slice(agent.length + 2)));
      card.append(prose(text));
      return card;
    });
    return views.length ? views : [element("p", "hint", "Nobody disagreed.")];
  }
}
