# SPDX-License-Identifier: MIT
"""What several system tests share."""
import pytest

import stack as st


@pytest.fixture(scope="session")
def postgres():
    server = st.Postgres()
    yield server
    server.close()
