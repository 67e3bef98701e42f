// SPDX-License-Identifier: MIT
// The events of one debate. Every stored event is handed on exactly once and
// in order of seq, whatever happens to the connection: after a loss the
// missing ones are read over REST, then the WebSocket goes on behind them.
// Token events have no seq and may be lost; the stored event that follows
// holds the whole text.
import { getEvents, token } from "./api.js";

const SILENCE_MS = 45000; // the server sends something every 15 s
const WAIT_MIN_MS = 250;
const WAIT_MAX_MS = 10000;

// Close codes (docs/events.md) behind which it is of no use to come back, and
// those behind which nothing speaks against doing so at once.
const NEVER = new Set([1002, 1003, 1007, 1009, 4401]);
const AT_ONCE = new Set([1011, 1013]);

// What may stand in Sec-WebSocket-Protocol.
const PROTOCOL_WORD = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

export class Stream {
  /**
   * on.event(e), on.live(), on.lost() when it will try again, on.refused(error)
   * when it will not.
   */
  constructor(id, on) {
    this.id = id;
    this.on = on;
    this.seen = 0; // seq of the last stored event handed on
    this.losses = 0; // in a row
    this.isOver = false;
    this.retryNow = this.retryNow.bind(this);
    window.addEventListener("online", this.retryNow);
    this.connect();
  }

  close() {
    this.isOver = true;
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    window.removeEventListener("online", this.retryNow);
    if (this.socket) this.socket.close(1000);
  }

  connect() {
    const query = new URLSearchParams({ debate_id: this.id });
    const protocols = ["aragora-v1"];
    if (this.seen) query.set("since", this.seen);
    if (PROTOCOL_WORD.test(token())) protocols.push(`access_token.${token()}`);
    else if (token()) query.set("token", token());
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws?${query}`, protocols);
    this.socket = socket;
    socket.onmessage = (m) => this.read(m.data);
    socket.onclose = (e) => this.lose(socket, e);
    this.listen();
  }

  listen() {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => this.lose(this.socket), SILENCE_MS);
  }

  read(text) {
    if (this.isOver) return;
    this.listen();
    let e;
    try {
      e = JSON.parse(text);
    } catch {
      return; // not of this protocol
    }
    if (this.losses || e.type === "connection_info") {
      this.losses = 0;
      this.on.live();
    }
    if (e.debate_id !== this.id && e.debate_id !== undefined) return;
    if (!this.take(e)) this.lose(this.socket);
  }

  /** false: something before it is missing. */
  take(e) {
    if (e.seq !== undefined) {
      if (e.seq <= this.seen) return true;
      if (e.seq !== this.seen + 1) return false;
      this.seen = e.seq;
    }
    this.on.event(e);
    if (e.type === "debate_end") this.close();
    return true;
  }

  /** How long to stay away after this close event, if there was one. */
  pause(closed) {
    if (closed && closed.code === 1001) {
      try {
        return JSON.parse(closed.reason).reconnect_ms || 0;
      } catch {
        // of another server
      }
    }
    const losses = closed && AT_ONCE.has(closed.code) ? 0 : this.losses;
    const wait = Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** losses);
    return wait * (0.5 + Math.random());
  }

  lose(socket, closed) {
    if (this.isOver || socket !== this.socket) return;
    this.socket = null;
    clearTimeout(this.silenceTimer);
    socket.close();
    if (closed && NEVER.has(closed.code)) {
      this.close();
      this.on.refused(new Error(closed.reason || `connection closed (${closed.code})`));
      return;
    }
    this.on.lost();
    this.retryTimer = setTimeout(() => this.recover(), this.pause(closed));
    this.losses += 1;
  }

  retryNow() {
    if (this.isOver || this.socket) return;
    clearTimeout(this.retryTimer);
    this.recover();
  }

  async recover() {
    try {
      await this.readTable();
    } catch (error) {
      if (this.isOver) return;
      if ([401, 403, 404].includes(error.status)) {
        this.close();
        this.on.refused(error);
        return;
      }
    }
    if (!this.isOver && !this.socket) this.connect();
  }

  async readTable() {
    for (;;) {
      const events = await getEvents(this.id, this.seen);
      if (this.isOver || !events.length) return;
      for (const e of events) {
        if (!this.take(e) || this.isOver) return;
      }
    }
  }
}
