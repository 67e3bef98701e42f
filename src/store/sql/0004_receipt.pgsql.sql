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

DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['receipts'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		-- A receipt is never changed.
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'aragora_app')
		THEN
			EXECUTE format('GRANT SELECT, INSERT ON %I TO '
			    'aragora_app', t);
		END IF;
	END LOOP;
END $$;
