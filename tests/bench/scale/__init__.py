# SPDX-License-Identifier: Apache-2.0
"""The controller in a large cluster: how much memory and time it takes, by what."""
