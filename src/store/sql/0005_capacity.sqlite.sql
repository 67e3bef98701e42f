-- SPDX-License-Identifier: MIT
-- Somebody wants this debate paused; its runner does so at the next step.
-- min-binary: 3
ALTER TABLE debates ADD COLUMN pause_wanted BIGINT NOT NULL DEFAULT 0;
