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

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['human_inputs'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		-- What was said is never changed.
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT ON %I TO '
			    'aragora_app', t);
		END IF;
	END LOOP;
END $$;
