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

-- Whose memory has something to do. The runners go on tenant by tenant.
CREATE FUNCTION aragora_memory_due(BIGINT, BIGINT)
	RETURNS TABLE (tenant TEXT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT m.tenant FROM memories m WHERE m.due_us <= $1
	ORDER BY m.due_us LIMIT $2 $$;
REVOKE ALL ON FUNCTION aragora_memory_due(BIGINT, BIGINT) FROM PUBLIC;

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['memory_boards', 'memories'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
	END LOOP;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON memory_boards, memories
		    TO aragora_app;
		GRANT EXECUTE ON FUNCTION aragora_memory_due(BIGINT, BIGINT)
		    TO aragora_app;
	END IF;
END $$;

-- Who takes a debate away takes what was concluded in it.
CREATE INDEX memories_debate ON memories (tenant, debate_id);
CREATE OR REPLACE FUNCTION aragora_delete(TEXT, TEXT)
	RETURNS TABLE (id TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	UPDATE debates d SET lease_epoch = lease_epoch + 1
	WHERE d.tenant = $1 AND d.id = $2;
	DELETE FROM events e WHERE e.tenant = $1 AND e.debate_id = $2;
	DELETE FROM turns t WHERE t.tenant = $1 AND t.debate_id = $2;
	DELETE FROM receipts r WHERE r.tenant = $1 AND r.debate_id = $2;
	DELETE FROM debate_vectors v WHERE v.tenant = $1 AND v.debate_id = $2;
	DELETE FROM memories m WHERE m.tenant = $1 AND m.debate_id = $2;
	DELETE FROM debates d WHERE d.tenant = $1 AND d.id = $2
	RETURNING d.id $$;
DO $$
BEGIN
	EXECUTE format('ALTER FUNCTION aragora_delete(TEXT, TEXT) SET '
	    'search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
