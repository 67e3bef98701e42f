# SPDX-License-Identifier: MIT
"""aragora copy between SQLite and PostgreSQL, both ways: killed, written to
meanwhile, damaged, refused."""
import copy_kit as kit


def test_there_and_back(postgres, tmp_path):
    one = kit.Lite(tmp_path / "one.db")
    two = kit.Pg(postgres.database())
    three = kit.Lite(tmp_path / "three.db")
    one.fill(300)
    for source, target in ((one, two), (two, three)):
        report = kit.copy(source, target)
        assert report["state"] == "complete"
        assert kit.table(report, "debates")["copied"] == 300
        assert kit.table(report, "events")["target_rows"] == 900
        kit.check_equal(source, target)
        assert kit.copy(source, target,
                        "--verify-only")["state"] == "equal"
