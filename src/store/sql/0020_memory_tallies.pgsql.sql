-- SPDX-License-Identifier: MIT
-- How often what happened to a tenant's memories, hour by hour. kind: the
-- names of MEMORY_DEED_LIST in src/store/memory.h; tier -1 = none.
-- min-binary: 3
CREATE TABLE memory_tallies (
	tenant TEXT NOT NULL,
	hour_us BIGINT NOT NULL,
	kind TEXT NOT NULL,
	tier BIGINT NOT NULL,
	n BIGINT NOT NULL,
	PRIMARY KEY (tenant, hour_us, kind, tier)
);
DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['memory_tallies'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF EXISTS (SELECT FROM pg_roles
		    WHERE rolname = 'aragora_app') THEN
			EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE '
			    'ON %I TO aragora_app', t);
		END IF;
	END LOOP;
END $$;
