-- SPDX-License-Identifier: MIT
-- What tenants and users may spend and have spent, by day and month (UTC), in
-- micro-dollars and tokens. owner '' is the tenant itself; -1 = no limit.
-- min-binary: 3
CREATE TABLE budget_limits (
	tenant TEXT NOT NULL,
	owner TEXT NOT NULL,
	period TEXT NOT NULL CHECK (period IN ('day', 'month')),
	udollar BIGINT NOT NULL,
	tokens BIGINT NOT NULL,
	PRIMARY KEY (tenant, owner, period)
);
-- held: granted to debates that are not over. The row 'gate' of a tenant is
-- held by whoever changes its others.
CREATE TABLE budget_use (
	tenant TEXT NOT NULL,
	owner TEXT NOT NULL,
	period TEXT NOT NULL,
	starts_us BIGINT NOT NULL,
	spent_udollar BIGINT NOT NULL DEFAULT 0,
	spent_tokens BIGINT NOT NULL DEFAULT 0,
	held_udollar BIGINT NOT NULL DEFAULT 0 CHECK (held_udollar >= 0),
	held_tokens BIGINT NOT NULL DEFAULT 0 CHECK (held_tokens >= 0),
	PRIMARY KEY (tenant, owner, period, starts_us)
);
-- One debate's part: what was held for it, and what it has taken so far.
CREATE TABLE budget_grants (
	debate_id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	owner TEXT NOT NULL,
	day_us BIGINT NOT NULL,
	month_us BIGINT NOT NULL,
	udollar BIGINT NOT NULL,
	tokens BIGINT NOT NULL,
	taken_udollar BIGINT NOT NULL DEFAULT 0,
	taken_tokens BIGINT NOT NULL DEFAULT 0,
	is_open BIGINT NOT NULL DEFAULT 1
);
