// SPDX-License-Identifier: MIT
// The first page: a question, who is to debate it, and what was asked before.
import { api, explain } from "./api.js";
import { $, element, say } from "./dom.js";

// Fields of a create request, where they are on the page, what they are called.
const FIELDS = {
  task: ["question", "Your question"],
  question: ["question", "Your question"],
  agents: ["more", "Agents"],
  rounds: ["rounds", "Rounds"],
  consensus: ["rule", "Decided by"],
  context: ["context", "What they should know"],
};

const STATUS_WORDS = { pending: "waiting" };

const debateLink = (id) => `#/debates/${encodeURIComponent(id)}`;

// ---- choices ----

function seatsOf(agent, max) {
  const label = element("label", "");
  const count = element("input");
  count.type = "number";
  count.min = 0;
  count.max = max;
  count.value = 0;
  count.dataset.agent = agent.name;
  const words = element("span");
  words.append(element("b", "", agent.name),
    element("span", "hint", agent.name === "demo"
      ? "offline rules, not a language model" : agent.model));
  label.append(count, words);
  return label;
}

function showMissing(agents) {
  const box = $("agents-missing");
  box.hidden = !agents.length;
  box.querySelector("summary").textContent = `Not available here (${agents.length})`;
  box.querySelector("ul").replaceChildren(...agents.map((agent) =>
    element("li", "hint", `${agent.name}: ${agent.reason}`)));
}

async function loadAgents(maxAgents) {
  const { agents } = await api("/api/agents?limit=100");
  const ready = agents.filter((agent) => agent.available);
  $("agents").replaceChildren(...ready.map((agent) => seatsOf(agent, maxAgents)));
  showMissing(agents.filter((agent) => !agent.available));
}

async function loadChoices() {
  const { consensus, limits } = await api("/api/capabilities");
  $("rounds").max = limits.max_rounds;
  $("question").maxLength = limits.max_question_length;
  $("rule").append(...consensus.map((rule) => element("option", "", rule)));
  await loadAgents(limits.max_agents);
}

// ---- asked before ----

function ago(time) {
  const minutes = (Date.now() - Date.parse(time)) / 60000;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (!(minutes >= 1)) return "just now";
  if (minutes < 60) return words.format(-Math.round(minutes), "minute");
  if (minutes < 48 * 60) return words.format(-Math.round(minutes / 60), "hour");
  return words.format(-Math.round(minutes / 1440), "day");
}

function recentRow(d) {
  const row = element("li");
  const link = element("a", "", d.task);
  link.href = debateLink(d.debate_id);
  link.dir = "auto";
  const time = element("time", "hint", ago(d.created_at));
  time.dateTime = d.created_at;
  row.append(link, time,
    element("span", `badge ${d.status}`, STATUS_WORDS[d.status] || d.status));
  return row;
}

async function loadRecent() {
  const { debates } = await api("/api/debates?limit=10");
  $("recent").replaceChildren(...(debates.length ? debates.map(recentRow)
    : [element("li", "hint", "None yet.")]));
}

// ---- asking ----

function chosenAgents() {
  const agents = [];
  for (const count of document.querySelectorAll("#agents input"))
    for (let i = 0; i < Math.min(Number(count.value) || 0, 100); i++)
      agents.push(count.dataset.agent);
  for (const spec of $("more").value.split(","))
    if (spec.trim()) agents.push(spec.trim());
  return agents;
}

function request() {
  const body = { task: $("question").value };
  const agents = chosenAgents();
  if (agents.length) body.agents = agents;
  if ($("rounds").value) body.rounds = Number($("rounds").value);
  if ($("rule").value) body.consensus = $("rule").value;
  if ($("context").value.trim()) body.context = $("context").value;
  return body;
}

function clearErrors() {
  say($("ask-error"), "");
  for (const node of document.querySelectorAll("#ask-form [aria-invalid]"))
    node.removeAttribute("aria-invalid");
}

function showErrors(error) {
  const lines = [];
  let first = null;
  for (const { field, message } of error.fields) {
    const [id, name] = FIELDS[field] || [null, field];
    lines.push(`${name}: ${message}`);
    if (!id) continue;
    $(id).setAttribute("aria-invalid", "true");
    first = first || $(id);
  }
  say($("ask-error"), lines.length ? lines.join("\n") : explain(error));
  if (!first) return;
  for (let box = first.closest("details"); box; box = box.parentElement.closest("details"))
    box.open = true;
  first.focus();
}

async function ask(event) {
  event.preventDefault();
  clearErrors();
  $("ask").disabled = true;
  try {
    const d = await api("/api/debates", {
      method: "POST", body: JSON.stringify(request()),
    });
    $("question").value = "";
    location.hash = debateLink(d.debate_id);
  } catch (error) {
    showErrors(error);
  } finally {
    $("ask").disabled = false;
  }
}

let haveChoices = false;

export function openAskPage() {
  clearErrors();
  const complain = (error) => say($("ask-error"), explain(error));
  if (!haveChoices)
    loadChoices().then(() => { haveChoices = true; }, complain);
  loadRecent().catch(complain);
}

export function setUpAskPage() {
  $("ask-form").addEventListener("submit", ask);
  $("question").addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $("ask-form").requestSubmit();
  });
}
