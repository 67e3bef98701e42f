-- SPDX-License-Identifier: MIT
-- A column more: programs that do not know it work on.
-- min-binary: 1
-- optional
ALTER TABLE debates ADD COLUMN next_note TEXT;
