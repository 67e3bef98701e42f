-- SPDX-License-Identifier: MIT
-- What finished debates are about, as vectors: of one model each, float32 as
-- base64. Searched by reading a tenant's rows of one model, newest first.
-- min-binary: 3
CREATE TABLE debate_vectors (
	debate_id TEXT NOT NULL PRIMARY KEY REFERENCES debates (id),
	tenant TEXT NOT NULL,
	model TEXT NOT NULL,
	dimension BIGINT NOT NULL,
	data TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE INDEX debate_vectors_scan ON debate_vectors
	(tenant, model, dimension, created_us DESC, debate_id DESC);

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['debate_vectors'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		-- A vector is never changed.
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT ON %I TO '
			    'aragora_app', t);
		END IF;
	END LOOP;
END $$;
