# SPDX-License-Identifier: MIT
"""One Chromium for all tests of the console."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "system"))
import console as co  # noqa: E402
import stack as st  # noqa: E402


@pytest.fixture(scope="session")
def chromium():
    with co.Chromium() as c:
        yield c


@pytest.fixture(scope="session")
def shared_stack():
    """For tests that break nothing."""
    with st.Stack() as s:
        yield s


@pytest.fixture
def console(chromium, shared_stack):
    with co.Console(chromium, shared_stack) as c:
        yield c
