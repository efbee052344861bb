#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""with_server.py COMMAND...: runs it with EGW_KUBECONFIG naming a fresh API server's admin."""
import os
import subprocess
import sys
import tempfile

from cluster import ApiServer

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="egw-api-") as folder:
        with ApiServer(folder) as server:
            environment = {**os.environ, "EGW_KUBECONFIG": str(server.kubeconfig)}
            status = subprocess.run(sys.argv[1:], env=environment).returncode
    sys.exit(status)
