// SPDX-License-Identifier: MIT
// The console: which page is shown, the access token, the server's health.
import { TOKEN_WANTED, api, setToken, token } from "./api.js";
import { openAskPage, setUpAskPage } from "./ask.js";
import { DebatePage } from "./debate.js";
import { $ } from "./dom.js";

const HEALTH_MS = 5000;

let debate = null;

/** The id in "#/debates/ID", or null. */
function debateId() {
  const match = location.hash.match(/^#\/debates\/([^/]+)$/);
  if (!match) return null;
  try {
    return decodeURIComponent(match[1]);
  } catch {
    return match[1];
  }
}

function route() {
  const id = debateId();
  if (debate) debate.close();
  debate = null;
  $("ask-page").hidden = id !== null;
  $("debate-page").hidden = id === null;
  $("forget").hidden = !token();
  showHealth();
  if (id === null) {
    document.title = "Aragora";
    openAskPage();
    return;
  }
  debate = new DebatePage(id);
  debate.open();
  window.scrollTo({ top: 0 });
}

function wantToken() {
  $("token-hint").textContent = token()
    ? "This server does not accept the token it was given."
    : "This server asks for one. It is kept until this tab is closed.";
  $("token-form").hidden = false;
}

function takeToken(event) {
  event.preventDefault();
  setToken($("token").value.trim());
  $("token").value = "";
  $("token-form").hidden = true;
  route();
}

function forgetToken() {
  setToken("");
  route();
}

/* How many are running the server counts every few seconds: next to a debate
 * that has just begun, the number would contradict it. */
function healthText(health) {
  if (health.status !== "healthy") return health.status;
  return debate ? "" : `${health.active_debates} running`;
}

async function showHealth() {
  try {
    const h = await api("/api/health");
    $("health").textContent = healthText(h);
    $("health").classList.toggle("bad", h.status !== "healthy");
  } catch {
    $("health").textContent = "not reachable";
    $("health").classList.add("bad");
  }
}

setUpAskPage();
$("token-form").addEventListener("submit", takeToken);
$("forget").addEventListener("click", forgetToken);
window.addEventListener(TOKEN_WANTED, wantToken);
window.addEventListener("hashchange", () => {
  route();
  $("main").focus({ preventScroll: true });
});
setInterval(() => {
  if (!document.hidden) showHealth();
}, HEALTH_MS);
route();
