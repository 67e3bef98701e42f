-- SPDX-License-Identifier: MIT
-- Tenants, their users, sessions and preferences. A tenant without a row is
-- an active one on the free plan. access_rev counts what may have ended
-- somebody's access: bridges look at it.
-- min-binary: 3
CREATE TABLE tenants (
	tenant TEXT NOT NULL PRIMARY KEY,
	name TEXT NOT NULL,
	slug TEXT,
	owner_id TEXT,
	plan TEXT NOT NULL DEFAULT 'free',
	status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active',
	    'suspended', 'pending', 'deleted')),
	settings TEXT NOT NULL DEFAULT '{}',
	max_debates_month BIGINT NOT NULL DEFAULT -1,
	access_rev BIGINT NOT NULL DEFAULT 0,
	created_us BIGINT NOT NULL,
	updated_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX tenants_slug ON tenants (slug);

-- email is in lower case. token_version: signed tokens of an older one are
-- void.
CREATE TABLE users (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	email TEXT NOT NULL,
	name TEXT NOT NULL,
	password_hash TEXT NOT NULL,
	role TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'member',
	    'viewer')),
	avatar_url TEXT,
	metadata TEXT NOT NULL DEFAULT '{}',
	token_version BIGINT NOT NULL DEFAULT 0,
	is_active BIGINT NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
	created_us BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	last_login_us BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX users_email ON users (email);
CREATE INDEX users_tenant ON users (tenant, created_us, id);

-- One login and what it was refreshed to: refresh_hash is of the one refresh
-- token that is good now.
CREATE TABLE sessions (
	id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	refresh_hash TEXT NOT NULL,
	device TEXT,
	address TEXT,
	created_us BIGINT NOT NULL,
	seen_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL,
	revoked_us BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX sessions_user ON sessions (tenant, user_id, created_us);

-- owner: users.id, or whoever else a credential names.
CREATE TABLE preferences (
	tenant TEXT NOT NULL,
	owner TEXT NOT NULL,
	data TEXT NOT NULL,
	updated_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, owner)
);

-- Logins that were tried, by the hash of an e-mail or an address.
CREATE TABLE login_attempts (
	id TEXT NOT NULL PRIMARY KEY,
	failures BIGINT NOT NULL,
	since_us BIGINT NOT NULL,
	until_us BIGINT NOT NULL
);
CREATE INDEX login_attempts_since ON login_attempts (since_us);

-- scopes: read, write and admin, comma-separated. Who made the key is its
-- owner; the operator's have none.
ALTER TABLE tokens ADD COLUMN owner TEXT;
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'read,write,admin';

-- What a key stands for now.
CREATE FUNCTION aragora_key(TEXT, BIGINT)
	RETURNS TABLE (id TEXT, tenant TEXT, name TEXT, prefix TEXT, hash TEXT,
	tier TEXT, created_us BIGINT, expires_us BIGINT, last_used_us BIGINT,
	revoked_us BIGINT, owner TEXT, scopes TEXT, email TEXT, role TEXT,
	is_active BIGINT, plan TEXT, status TEXT, access_rev BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT k.id, k.tenant, k.name, k.prefix, k.hash, k.tier, k.created_us,
	    k.expires_us, k.last_used_us, k.revoked_us, k.owner, k.scopes,
	    u.email, u.role, coalesce(u.is_active, 1), coalesce(t.plan, 'free'),
	    coalesce(t.status, 'active'), coalesce(t.access_rev, 0)
	FROM tokens k LEFT JOIN users u ON u.id = k.owner AND
	    u.tenant = k.tenant LEFT JOIN tenants t ON t.tenant = k.tenant
	WHERE k.hash = $1 AND k.revoked_us = 0 AND
	    (k.expires_us = 0 OR k.expires_us > $2) $$;

-- Who logs in.
CREATE FUNCTION aragora_user(TEXT) RETURNS SETOF users
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT * FROM users WHERE email = $1 $$;

-- For the operator: all tenants.
CREATE FUNCTION aragora_tenants(TEXT) RETURNS SETOF tenants
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT * FROM tenants WHERE $1 = '' OR status = $1 $$;

-- Where access may have ended since: [tenant, ...] and what each has come to.
CREATE FUNCTION aragora_access(TEXT)
	RETURNS TABLE (n BIGINT, access_rev BIGINT)
	LANGUAGE sql STABLE SECURITY DEFINER AS $$
	SELECT l.n - 1, t.access_rev
	FROM json_array_elements_text(CAST($1 AS json))
	    WITH ORDINALITY AS l (id, n)
	JOIN tenants AS t ON t.tenant = l.id $$;

DO $$
DECLARE
	t TEXT;
	f TEXT;
	has_role BOOLEAN := EXISTS (
		SELECT FROM pg_roles WHERE rolname = 'aragora_app');
BEGIN
	FOREACH t IN ARRAY ARRAY['tenants', 'users', 'sessions',
	    'preferences'] LOOP
		EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
		EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
		EXECUTE format('CREATE POLICY aragora_tenant ON %I '
		    'USING (tenant = (SELECT aragora_tenant())) '
		    'WITH CHECK (tenant = (SELECT aragora_tenant()))', t);
		EXECUTE format('CREATE POLICY aragora_owner ON %I '
		    'TO CURRENT_USER USING (true) WITH CHECK (true)', t);
		IF has_role THEN
			EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I '
			    'TO aragora_app', t);
		END IF;
	END LOOP;
	FOREACH f IN ARRAY ARRAY['aragora_key(TEXT, BIGINT)',
	    'aragora_user(TEXT)', 'aragora_tenants(TEXT)',
	    'aragora_access(TEXT)'] LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
		EXECUTE format('ALTER FUNCTION %s SET search_path = '
		    'pg_catalog, %I, pg_temp', f, current_schema());
		IF has_role THEN
			EXECUTE format(
			    'GRANT EXECUTE ON FUNCTION %s TO aragora_app', f);
		END IF;
	END LOOP;
	IF has_role THEN
		GRANT DELETE ON sessions TO aragora_app;
		GRANT SELECT, INSERT, UPDATE, DELETE ON login_attempts
		    TO aragora_app;
	END IF;
END $$;
