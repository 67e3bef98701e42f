// SPDX-License-Identifier: MIT
// The REST API, and the access token, which lives as long as the tab.

const TOKEN_KEY = "aragora-token";

export const token = () => sessionStorage.getItem(TOKEN_KEY) || "";

export function setToken(text) {
  if (text) sessionStorage.setItem(TOKEN_KEY, text);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** status 0: the server was not reached. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message || body.error || `The server answered ${status}.`);
    this.status = status;
    this.fields = Array.isArray(body.errors) ? body.errors : [];
    this.retryAfter = body.retry_after;
  }
}

/** Dispatched on window when the server wants a token, or another one. */
export const TOKEN_WANTED = "token-wanted";

export async function api(path, options = {}) {
  const headers = { Accept: "application/json" };
  if (options.body) headers["Content-Type"] = "application/json";
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options, headers });
  } catch {
    throw new ApiError(0, { message: "The server cannot be reached." });
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) window.dispatchEvent(new Event(TOKEN_WANTED));
  if (!answer.ok) throw new ApiError(answer.status, body);
  return body;
}

const debatePath = (id) => `/api/debates/${encodeURIComponent(id)}`;

export const getDebate = (id) => api(debatePath(id));
export const cancelDebate = (id) => api(`${debatePath(id)}/cancel`, { method: "POST" });
export const getEvents = (id, since) =>
  api(`${debatePath(id)}/events?since=${since}&limit=500`).then((page) => page.events);

/** One error in plain words. */
export function explain(error) {
  if (error.status === 401) return "This server asks for an access token: enter it above.";
  if (error.status === 429)
    return `Too many requests; try again in ${error.retryAfter || 60} seconds.`;
  return error.message;
}
