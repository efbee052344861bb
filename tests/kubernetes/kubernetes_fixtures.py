# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures for every suite that needs an API server. A conftest.py elsewhere puts this
directory on sys.path and imports what it uses."""

import pytest

from cluster import ApiServer
from kubelet import Kubelet


@pytest.fixture(scope="session")
def api_server(tmp_path_factory):
    """One for the whole session, with a controller manager: make namespaces of your own in it."""
    with ApiServer(tmp_path_factory.mktemp("api_server"), controller_manager=True) as server:
        yield server


@pytest.fixture
def kubelet(api_server):
    with Kubelet(api_server.api, renew_seconds=0.5) as played:
        yield played
