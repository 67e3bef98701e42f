-- SPDX-License-Identifier: MIT
-- Lets signed-in users read their own tenant's debates and events through
-- Supabase's REST and GraphQL interfaces (PostgREST, pg_graphql), and write
-- nothing. Optional: Aragora's own API does not need it. Run it as the owner
-- of the tables, after `aragora migrate up`; running it again does no harm:
--
--   psql "$OWNER_URL" -f conf/supabase/policies.sql
--
-- If ARAGORA_JWT_TENANT_CLAIM is not app_metadata.tenant_id, change the path
-- in aragora_jwt_tenant() to match.
\set ON_ERROR_STOP on
BEGIN;
-- The tenant of the caller, as the service reads it out of the same token: a
-- claim that only the project's administrators write, else the user. NULL,
-- which is nobody's, for a token of another role or with an empty claim.
CREATE OR REPLACE FUNCTION aragora_jwt_tenant() RETURNS TEXT LANGUAGE sql STABLE
	AS $$
	SELECT CASE WHEN j->>'role' = 'authenticated' THEN
	    nullif(coalesce(j->'app_metadata'->>'tenant_id', j->>'sub'), '')
	END FROM (SELECT auth.jwt() AS j) AS t $$;
REVOKE ALL ON FUNCTION aragora_jwt_tenant() FROM PUBLIC;

-- First take everything away, whatever default privileges gave: tables without
-- policies of their own, and functions that run as the owner.
DO $$
DECLARE
	s TEXT := current_schema();
	r TEXT;
BEGIN
	FOREACH r IN ARRAY ARRAY['anon', 'authenticated'] LOOP
		EXECUTE format(
		    'REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', s, r);
		EXECUTE format(
		    'REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', s, r);
		EXECUTE format(
		    'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM %I', s, r);
		EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I '
		    'REVOKE ALL ON TABLES FROM %I', s, r);
		EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I '
		    'REVOKE ALL ON FUNCTIONS FROM %I', s, r);
	END LOOP;
	EXECUTE format('GRANT USAGE ON SCHEMA %I TO authenticated', s);
END $$;
GRANT EXECUTE ON FUNCTION aragora_jwt_tenant(), aragora_tenant()
	TO authenticated;
GRANT SELECT ON debates, events TO authenticated;

-- Two policies a table. The first opens the caller's own rows. The second is
-- restrictive: it also holds against the service's policy, which goes by a
-- setting of the session that this role must not be able to profit from.
DO $$
DECLARE
	t TEXT;
BEGIN
	FOREACH t IN ARRAY ARRAY['debates', 'events'] LOOP
		EXECUTE format(
		    'DROP POLICY IF EXISTS aragora_user_read ON %I', t);
		EXECUTE format(
		    'DROP POLICY IF EXISTS aragora_user_only ON %I', t);
		EXECUTE format('CREATE POLICY aragora_user_read ON %I '
		    'FOR SELECT TO authenticated '
		    'USING (tenant = (SELECT aragora_jwt_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_user_only ON %I '
		    'AS RESTRICTIVE FOR ALL TO authenticated '
		    'USING (tenant = (SELECT aragora_jwt_tenant())) '
		    'WITH CHECK (false)', t);
	END LOOP;
END $$;
COMMIT;
