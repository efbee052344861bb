# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
pytest.register_assert_rewrite("acceptance", "egress_cluster", "witness")

from egress_cluster import (  # noqa: E402, F401
    cluster, server, shared_cluster, start, steady)
from kubernetes_fixtures import api_server, kubelet  # noqa: E402, F401
