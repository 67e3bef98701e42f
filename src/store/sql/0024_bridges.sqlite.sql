-- SPDX-License-Identifier: MIT
-- Which bridges are alive and what they hold, told by themselves: open
-- WebSockets, streams of server-sent events, subscriptions.
-- min-binary: 3
CREATE TABLE bridges (
	id TEXT NOT NULL PRIMARY KEY,
	host TEXT NOT NULL,
	pid BIGINT NOT NULL,
	started_us BIGINT NOT NULL,
	seen_us BIGINT NOT NULL,
	connections BIGINT NOT NULL,
	streams BIGINT NOT NULL,
	subscriptions BIGINT NOT NULL
);
