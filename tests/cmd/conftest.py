# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "kubernetes"))

from cluster import ApiServer  # noqa: E402


@pytest.fixture(scope="session")
def egw():
    """The program under test."""
    return os.environ.get("EGW_BIN", str(TOP / "build" / "egw"))


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory):
    """An API server on which egw is not installed."""
    with ApiServer(tmp_path_factory.mktemp("server")) as cluster:
        yield cluster
