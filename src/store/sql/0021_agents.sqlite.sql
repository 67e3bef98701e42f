-- SPDX-License-Identifier: MIT
-- What a tenant's operators decided about agents: switched off, and how many
-- debates a day may seat one (-1 = as many as come; used: of the day that
-- begins at day_us); ratings moved by hand, in thousandths of a point. What a
-- runner tells of the agents it asks (JSON).
-- min-binary: 3
CREATE TABLE agent_rules (
	tenant TEXT NOT NULL,
	agent TEXT NOT NULL,
	is_disabled BIGINT NOT NULL,
	reason TEXT NOT NULL,
	daily BIGINT NOT NULL,
	used BIGINT NOT NULL,
	day_us BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, agent)
);
CREATE TABLE rating_adjustments (
	tenant TEXT NOT NULL,
	id TEXT NOT NULL,
	agent TEXT NOT NULL,
	elo_change BIGINT NOT NULL,
	elo BIGINT NOT NULL,
	reason TEXT NOT NULL,
	debate_id TEXT NOT NULL,
	actor TEXT NOT NULL,
	created_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX rating_adjustments_agent ON rating_adjustments
	(tenant, agent, created_us DESC, id);
CREATE INDEX rating_adjustments_time ON rating_adjustments
	(tenant, created_us);
ALTER TABLE runners ADD COLUMN health TEXT NOT NULL DEFAULT '[]';
