# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "kubernetes"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import ApiServer  # noqa: E402


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """An API server with definitions, accounts and roles."""
    with ApiServer(tmp_path_factory.mktemp("server")) as cluster:
        cluster.install_egw()
        yield cluster


@pytest.fixture(scope="session")
def api(server):
    return server.api
