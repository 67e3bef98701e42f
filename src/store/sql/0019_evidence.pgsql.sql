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

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['debate_evidence', 'export_jobs'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT ON %I TO '
			    'aragora_app', t);
		END IF;
	END LOOP;
END $$;
