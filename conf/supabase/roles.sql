-- SPDX-License-Identifier: MIT
-- The roles and the schema of Aragora in a Supabase project (or any other
-- PostgreSQL). Run it once, before the first `aragora migrate up`, as the
-- project's administrator (postgres):
--
--   psql "$ADMIN_URL" -v owner_password=... -v app_password=... \
--       -f conf/supabase/roles.sql
--
-- aragora_owner  owns the tables and runs migrations; nothing else uses it
-- aragora_app    the service: owns nothing, is held by row level security
--
-- A schema of its own, owned by a role of its own: in "public" Supabase grants
-- everything that the role postgres makes, tables and functions, to anon and
-- authenticated.
\set ON_ERROR_STOP on
BEGIN;
SELECT format('CREATE ROLE %I', r) FROM unnest(
    ARRAY['aragora_owner', 'aragora_app']) AS r
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)
\gexec
ALTER ROLE aragora_owner LOGIN NOCREATEDB NOCREATEROLE NOINHERIT
	PASSWORD :'owner_password';
ALTER ROLE aragora_app LOGIN NOCREATEDB NOCREATEROLE NOINHERIT
	PASSWORD :'app_password';
-- Only a superuser may name these two, and only where they are set.
SELECT format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', rolname) FROM pg_roles
WHERE rolname IN ('aragora_owner', 'aragora_app') AND
    (rolsuper OR rolbypassrls)
\gexec
-- The statements name no schema. A pooler passes on what belongs to a role.
ALTER ROLE aragora_owner SET search_path = aragora;
ALTER ROLE aragora_app SET search_path = aragora;
-- CREATE SCHEMA ... AUTHORIZATION needs membership, which the administrator of
-- a Supabase project, being no superuser, has only while he grants it.
GRANT aragora_owner TO CURRENT_USER;
CREATE SCHEMA IF NOT EXISTS aragora AUTHORIZATION aragora_owner;
REVOKE ALL ON SCHEMA aragora FROM PUBLIC;
GRANT USAGE ON SCHEMA aragora TO aragora_app;
REVOKE aragora_owner FROM CURRENT_USER;
COMMIT;
