-- SPDX-License-Identifier: MIT
-- What people bring to a debate, and files of many debates that were asked
-- for: those are made from the debates each time they are fetched.
-- min-binary: 3
CREATE TABLE debate_evidence (
	id TEXT NOT NULL PRIMARY KEY,
	debate_id TEXT NOT NULL REFERENCES debates (id) ON DELETE CASCADE,
	tenant TEXT NOT NULL,
	evidence TEXT NOT NULL,
	source TEXT,
	metadata TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE INDEX debate_evidence_list ON debate_evidence
	(tenant, debate_id, created_us, id);
CREATE TABLE export_jobs (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	format TEXT NOT NULL,
	debate_ids TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
