-- SPDX-License-Identifier: MIT
-- Never ends, half done: to be killed.
ALTER TABLE debates ADD COLUMN stuck TEXT;
CREATE TABLE stuck AS WITH RECURSIVE n (i) AS (
	SELECT 1 UNION ALL SELECT 1 FROM n) SELECT max(i) FROM n;
