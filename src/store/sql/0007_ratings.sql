-- SPDX-License-Identifier: MIT
-- Ratings in thousandths of a point; domain '' is the board of all domains.
-- Who writes a board holds its tenant's row of rating_boards.
-- min-binary: 3
CREATE TABLE rating_boards (
	tenant TEXT NOT NULL PRIMARY KEY,
	matches BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE ratings (
	tenant TEXT NOT NULL,
	domain TEXT NOT NULL,
	agent TEXT NOT NULL,
	elo BIGINT NOT NULL,
	games BIGINT NOT NULL,
	wins BIGINT NOT NULL,
	losses BIGINT NOT NULL,
	streak BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, domain, agent)
);
CREATE INDEX ratings_board ON ratings (tenant, domain, elo DESC, agent);
-- One match per debate, however often it is told.
CREATE TABLE matches (
	debate_id TEXT NOT NULL PRIMARY KEY,
	tenant TEXT NOT NULL,
	domain TEXT NOT NULL,
	winner TEXT NOT NULL,
	source TEXT NOT NULL,
	confidence BIGINT NOT NULL,
	players TEXT NOT NULL,
	created_us BIGINT NOT NULL
);
CREATE INDEX matches_time ON matches (tenant, created_us DESC, debate_id DESC);
CREATE TABLE match_players (
	debate_id TEXT NOT NULL,
	agent TEXT NOT NULL,
	tenant TEXT NOT NULL,
	domain TEXT NOT NULL,
	score BIGINT NOT NULL,
	elo BIGINT NOT NULL,
	elo_change BIGINT NOT NULL,
	created_us BIGINT NOT NULL,
	PRIMARY KEY (debate_id, agent)
);
CREATE INDEX match_players_agent ON match_players
	(tenant, agent, created_us DESC, debate_id DESC);
-- Stated confidences by tenths; sums in millionths.
CREATE TABLE calibration (
	tenant TEXT NOT NULL,
	domain TEXT NOT NULL,
	agent TEXT NOT NULL,
	bucket BIGINT NOT NULL,
	votes BIGINT NOT NULL,
	hits BIGINT NOT NULL,
	confidence BIGINT NOT NULL,
	brier BIGINT NOT NULL,
	PRIMARY KEY (tenant, domain, agent, bucket)
);
