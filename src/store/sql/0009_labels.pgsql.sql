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

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['debate_notes'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I '
			    'TO aragora_app', t);
		END IF;
	END LOOP;
END $$;

-- A debate goes with all that belongs to it; tables that come later say so
-- themselves (ON DELETE CASCADE). The row is taken first: a transition under
-- way lands before it or finds another epoch.
CREATE FUNCTION aragora_delete(TEXT, TEXT)
	RETURNS TABLE (id TEXT)
	LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
	UPDATE debates d SET lease_epoch = lease_epoch + 1
	WHERE d.tenant = $1 AND d.id = $2;
	DELETE FROM events e WHERE e.tenant = $1 AND e.debate_id = $2;
	DELETE FROM turns t WHERE t.tenant = $1 AND t.debate_id = $2;
	DELETE FROM receipts r WHERE r.tenant = $1 AND r.debate_id = $2;
	DELETE FROM debate_vectors v WHERE v.tenant = $1 AND v.debate_id = $2;
	DELETE FROM debates d WHERE d.tenant = $1 AND d.id = $2
	RETURNING d.id $$;

DO $$
BEGIN
	REVOKE ALL ON FUNCTION aragora_delete(TEXT, TEXT) FROM PUBLIC;
	IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app') THEN
		GRANT EXECUTE ON FUNCTION aragora_delete(TEXT, TEXT)
		    TO aragora_app;
	END IF;
	EXECUTE format('ALTER FUNCTION aragora_delete(TEXT, TEXT) SET '
	    'search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
