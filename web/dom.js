// SPDX-License-Identifier: MIT
// Elements. What agents and people wrote is hostile: it becomes text only,
// never markup.

export const $ = (id) => document.getElementById(id);

/** element("p", "hint", "text") */
export function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined && text !== null) e.textContent = text;
  return e;
}

/** Somebody's words, in whatever direction they run. */
export function prose(text, className = "text") {
  const e = element("div", className, text);
  e.dir = "auto";
  return e;
}

/** Fills and shows it, or hides it when there is nothing to say. */
export function say(node, text) {
  node.textContent = text || "";
  node.hidden = !text;
}

/** For those who listen to the page instead of looking at it. */
export function announce(text) {
  const log = $("announcer");
  log.append(element("p", "", text));
  while (log.childElementCount > 20) log.firstElementChild.remove();
}

export function ratio(value) {
  const x = Number(value);
  return Number.isFinite(x) ? Math.min(1, Math.max(0, x)) : 0;
}

export const percent = (value) => `${Math.round(ratio(value) * 100)} %`;
