# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from egress_cluster import (  # noqa: E402, F401
    cluster, server, shared_cluster, start, steady)
from kubernetes_fixtures import api_server, kubelet  # noqa: E402, F401
