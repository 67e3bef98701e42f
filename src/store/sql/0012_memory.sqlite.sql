-- SPDX-License-Identifier: MIT
-- What a tenant remembers, in four tiers (0 = fast .. 3 = glacial; their
-- figures: src/store/memory.c). Shares are millionths. due_us: when the entry
-- is next to be looked at, to expire or to change its tier. Who writes holds
-- the tenant's row of memory_boards, so that sizes are never exceeded.
-- min-binary: 3
CREATE TABLE memory_boards (
	tenant TEXT NOT NULL PRIMARY KEY,
	writes BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE memories (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	memory_key TEXT NOT NULL,
	tier BIGINT NOT NULL,
	domain TEXT NOT NULL,
	content TEXT NOT NULL,
	body TEXT NOT NULL,
	debate_id TEXT NOT NULL,
	bytes BIGINT NOT NULL,
	importance BIGINT NOT NULL,
	surprise BIGINT NOT NULL,
	updates BIGINT NOT NULL,
	moves BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	accessed_us BIGINT NOT NULL,
	moved_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL,
	due_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, memory_key)
);
CREATE UNIQUE INDEX memories_id ON memories (tenant, id);
CREATE INDEX memories_worst ON memories
	(tenant, tier, importance, created_us, id);
CREATE INDEX memories_domain ON memories (tenant, domain, updated_us DESC, id);
CREATE INDEX memories_recent ON memories (tenant, updated_us DESC, id);
CREATE INDEX memories_due ON memories (due_us);
CREATE INDEX memories_tenant_due ON memories (tenant, due_us);
-- Who takes a debate away takes what was concluded in it.
CREATE TRIGGER memories_delete AFTER DELETE ON debates BEGIN
	DELETE FROM memories WHERE tenant = OLD.tenant AND
	    debate_id = OLD.id;
END;
CREATE INDEX memories_debate ON memories (tenant, debate_id);
