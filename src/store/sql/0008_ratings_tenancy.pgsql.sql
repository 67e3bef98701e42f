-- SPDX-License-Identifier: MIT
-- The tables of ratings are of tenants too.
-- min-binary: 3
DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['rating_boards', 'ratings', 'matches',
	    'match_players', 'calibration'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF EXISTS (SELECT FROM pg_roles
		    WHERE rolname = 'aragora_app') THEN
			EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I '
			    'TO aragora_app', t);
		END IF;
	END LOOP;
END $$;
