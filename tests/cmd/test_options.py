# SPDX-License-Identifier: Apache-2.0
"""The command line of the program itself."""

import subprocess


def refusal(egw, *arguments):
    done = subprocess.run([egw, *arguments], text=True, capture_output=True, timeout=30)
    assert done.returncode == 2, done
    return done.stderr


def test_an_empty_value_is_one_in_both_forms(egw):
    """As Kubernetes' args lists have it: one word for option and value."""
    for empty in (["--metrics-address=", "--webhook-address="],
                  ["--metrics-address", "", "--webhook-address", ""]):
        assert "'loud' is no log level" in refusal(egw, "controller", *empty, "--log-level=loud")
    assert "'loud' is no log level" in refusal(egw, "agent", "--metrics-address=",
                                               "--log-level=loud")


def test_refusals_name_option_value_and_remedy(egw):
    for option, value, remedy in (("--webhook-address", "5822", "write for example"),
                                  ("--webhook-ca-injection", "no", "neither true nor false"),
                                  ("--webhook-names", "a b", "write for example")):
        said = refusal(egw, "controller", f"{option}={value}")
        assert f"{option}: '{value}'" in said and remedy in said
