# SPDX-License-Identifier: Apache-2.0
"""Where the parts of Kubernetes come from: one binary that build.sh makes, or a directory."""

import functools
import os
import subprocess
from pathlib import Path


class Binaries:
    def __init__(self, path):
        self.path = Path(path)
        self.single = not self.path.is_dir()

    def command(self, part):
        """The words that start a part: "kube-apiserver", "kubectl" and so on."""
        return [str(self.path), part] if self.single else [str(self.path / part)]


@functools.cache
def binaries():
    """Builds them if need be, with progress on stderr."""
    build = Path(__file__).resolve().parent / "build.sh"
    done = subprocess.run([build], stdout=subprocess.PIPE, text=True, env=os.environ)
    if done.returncode != 0:
        raise RuntimeError(f"{build} failed, see above")
    return Binaries(done.stdout.splitlines()[-1])
