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
