-- SPDX-License-Identifier: MIT
-- What people may change of a debate after it was asked: its title, and tags
-- and metadata (a JSON object) instead of those it was asked with; what they
-- wrote about it; and from which debate it was forked.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN title TEXT;
ALTER TABLE debates ADD COLUMN labels TEXT;
ALTER TABLE debates ADD COLUMN archived_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE debates ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE debates ADD COLUMN parent TEXT;
ALTER TABLE debates ADD COLUMN branch_point BIGINT NOT NULL DEFAULT 0;
CREATE INDEX debates_parent ON debates (tenant, parent) WHERE parent IS NOT NULL;
CREATE TABLE debate_notes (
	id TEXT NOT NULL PRIMARY KEY,
	debate_id TEXT NOT NULL REFERENCES debates (id) ON DELETE CASCADE,
	tenant TEXT NOT NULL,
	note TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE INDEX debate_notes_list ON debate_notes
	(tenant, debate_id, created_us, id);
-- A debate goes with all that belongs to it. Tables that come later say so
-- themselves (ON DELETE CASCADE).
CREATE TRIGGER debates_delete BEFORE DELETE ON debates BEGIN
	DELETE FROM events WHERE debate_id = OLD.id;
	DELETE FROM turns WHERE debate_id = OLD.id;
	DELETE FROM receipts WHERE debate_id = OLD.id;
	DELETE FROM debate_vectors WHERE debate_id = OLD.id;
END;
