-- SPDX-License-Identifier: MIT
-- The two roles of Aragora and its database, for PostgreSQL 13 and later:
--
--   aragora_owner  owns database and tables; `aragora migrate` runs as it
--   aragora_app    what the service runs as: it owns nothing and cannot step
--                  around row level security
--
-- Run it with psql as a superuser, before the first `aragora migrate`; it may
-- be run again at any time and then mends what differs.
--
--     psql -U postgres -f roles.sql
--     psql -U postgres -v database=NAME -f roles.sql   # not "aragora"
--
-- No role gets a password here, where it would end up in a log: afterwards,
-- \password aragora_owner and \password aragora_app in psql.
\set ON_ERROR_STOP on
\if :{?database}
\else
	\set database aragora
\endif

SELECT format('CREATE ROLE %I', r) FROM unnest(ARRAY['aragora_owner',
    'aragora_app']) AS r
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) \gexec
ALTER ROLE aragora_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
	NOREPLICATION NOBYPASSRLS;
ALTER ROLE aragora_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE
	NOREPLICATION NOBYPASSRLS;
-- A member of the owner's role could do all that the owner can.
SELECT 'REVOKE aragora_owner FROM aragora_app'
WHERE pg_has_role('aragora_app', 'aragora_owner', 'MEMBER') \gexec

SELECT format('CREATE DATABASE %I OWNER aragora_owner ENCODING UTF8 '
    'TEMPLATE template0', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
\connect :"database"

-- Nobody else comes in, and nobody but the owner makes anything here.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO aragora_app;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO aragora_owner;
REVOKE CREATE ON SCHEMA public FROM aragora_app;
GRANT USAGE ON SCHEMA public TO aragora_app;

-- What the owner makes later is nobody's: each migration says itself what the
-- service may do with its tables and functions.
ALTER DEFAULT PRIVILEGES FOR ROLE aragora_owner
	REVOKE ALL ON TABLES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE aragora_owner
	REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Where the tables were there before the role was, migrations could grant it
-- nothing: the same now.
DO $$
DECLARE
	f TEXT;
BEGIN
	IF to_regclass('public.debates') IS NULL THEN
		RETURN;
	END IF;
	GRANT SELECT, INSERT, UPDATE ON debates, events, turns, tokens
	    TO aragora_app;
	IF to_regclass('public.receipts') IS NOT NULL THEN
		GRANT SELECT, INSERT ON receipts TO aragora_app;
	END IF;
	IF to_regclass('public.debate_vectors') IS NOT NULL THEN
		GRANT SELECT, INSERT ON debate_vectors TO aragora_app;
	END IF;
	IF to_regclass('public.debate_notes') IS NOT NULL THEN
		GRANT SELECT, INSERT, DELETE ON debate_notes TO aragora_app;
	END IF;
	IF to_regclass('public.human_inputs') IS NOT NULL THEN
		GRANT SELECT, INSERT ON human_inputs TO aragora_app;
	END IF;
	IF to_regclass('public.attempts') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON attempts TO aragora_app;
	END IF;
	IF to_regclass('public.ratings') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON rating_boards, ratings,
		    matches, match_players, calibration TO aragora_app;
	END IF;
	IF to_regclass('public.source_ratings') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON source_ratings TO aragora_app;
	END IF;
	IF to_regclass('public.budget_use') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON budget_limits, budget_use,
		    budget_grants TO aragora_app;
	END IF;
	IF to_regclass('public.memories') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON memory_boards,
		    memories TO aragora_app;
	END IF;
	IF to_regclass('public.memory_tallies') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON memory_tallies
		    TO aragora_app;
	END IF;
	IF to_regclass('public.agent_rules') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON agent_rules,
		    rating_adjustments TO aragora_app;
	END IF;
	IF to_regclass('public.request_keys') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON request_keys TO aragora_app;
	END IF;
	IF to_regclass('public.batches') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON batches, batch_items
		    TO aragora_app;
	END IF;
	IF to_regclass('public.users') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE ON tenants, users, sessions,
		    preferences, login_attempts TO aragora_app;
		GRANT DELETE ON sessions, login_attempts TO aragora_app;
	END IF;
	IF to_regclass('public.export_jobs') IS NOT NULL THEN
		GRANT SELECT, INSERT ON debate_evidence, export_jobs
		    TO aragora_app;
	END IF;
	IF to_regclass('public.bridges') IS NOT NULL THEN
		GRANT SELECT, INSERT, UPDATE, DELETE ON bridges TO aragora_app;
	END IF;
	GRANT SELECT, INSERT, UPDATE, DELETE ON runners TO aragora_app;
	GRANT SELECT ON schema_migrations TO aragora_app;
	FOR f IN SELECT CAST(CAST(oid AS regprocedure) AS TEXT) FROM pg_proc
	    WHERE pronamespace = CAST('public' AS regnamespace) AND
	    proname LIKE 'aragora\_%'
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO aragora_app',
		    f);
	END LOOP;
END $$;
