# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes cluster of network namespaces on one host, with real processes and real packets."""

from .lab import Lab

__all__ = ["Lab"]
