-- SPDX-License-Identifier: MIT
-- The receipts of finished debates: the signed text, and the hash chain after
-- each event (marks), which tells the first one that was changed.
-- min-binary: 3
CREATE TABLE receipts (
	debate_id TEXT NOT NULL PRIMARY KEY REFERENCES debates (id),
	tenant TEXT NOT NULL,
	text TEXT NOT NULL,
	signature TEXT,
	marks TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
