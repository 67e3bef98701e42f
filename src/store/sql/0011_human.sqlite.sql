-- SPDX-License-Identifier: MIT
-- What people say to a debate: votes (kind 0) and suggestions (1). seq is that
-- of the event which tells of it.
-- min-binary: 3
CREATE TABLE human_inputs (
	debate_id TEXT NOT NULL REFERENCES debates (id) ON DELETE CASCADE,
	seq BIGINT NOT NULL,
	tenant TEXT NOT NULL,
	kind BIGINT NOT NULL,
	who TEXT NOT NULL,
	choice TEXT,
	text TEXT,
	intensity BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	PRIMARY KEY (debate_id, seq)
);
