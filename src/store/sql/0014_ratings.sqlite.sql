-- SPDX-License-Identifier: MIT
-- Boards by what the winner was found with; ballots, and those for the
-- voter's own answer; what a match moved on its domain's board.
-- min-binary: 3
ALTER TABLE ratings ADD COLUMN ballots BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ratings ADD COLUMN kept BIGINT NOT NULL DEFAULT 0;
ALTER TABLE matches ADD COLUMN rounds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE matches ADD COLUMN duration_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX matches_domain ON matches
	(tenant, domain, created_us DESC, debate_id DESC);
ALTER TABLE match_players ADD COLUMN domain_elo BIGINT NOT NULL DEFAULT 0;
ALTER TABLE match_players ADD COLUMN domain_change BIGINT NOT NULL DEFAULT 0;
ALTER TABLE match_players ADD COLUMN choice TEXT NOT NULL DEFAULT '';
CREATE INDEX match_players_time ON match_players
	(tenant, created_us DESC, debate_id DESC, agent);
CREATE TABLE source_ratings (
	tenant TEXT NOT NULL,
	source TEXT NOT NULL,
	domain TEXT NOT NULL,
	agent TEXT NOT NULL,
	elo BIGINT NOT NULL,
	games BIGINT NOT NULL,
	wins BIGINT NOT NULL,
	losses BIGINT NOT NULL,
	streak BIGINT NOT NULL,
	updated_us BIGINT NOT NULL,
	PRIMARY KEY (tenant, source, domain, agent)
);
