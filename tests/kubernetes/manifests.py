# SPDX-License-Identifier: Apache-2.0
"""Applies manifests so that the test that comes next can rely on them."""

import concurrent.futures
from pathlib import Path

import yaml

from childprocess import wait_until
from kubeapi import ApiError, path_of

_DEFINITION = "CustomResourceDefinition"
_FIRST = (_DEFINITION, "Namespace", "ServiceAccount")


def read_manifests(*paths):
    """The objects of each .yaml file below these paths, which may be files or directories."""
    objects = []
    for path in map(Path, paths):
        files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise FileNotFoundError(f"no .yaml file in {path}")
        for file in files:
            objects += [obj for obj in yaml.safe_load_all(file.read_text()) if obj]
    return objects


def apply_objects(api, objects):
    """Server-side apply, definitions and namespaces first. Returns when objects of newly defined
    kinds can be created without delay."""
    objects = sorted(objects, key=lambda obj: _FIRST.index(obj["kind"])
                     if obj["kind"] in _FIRST else len(_FIRST))
    definitions = [obj for obj in objects if obj["kind"] == _DEFINITION]
    for definition in definitions:
        api.apply(definition)
    for definition in definitions:
        api.wait_for("apiextensions.k8s.io/v1/customresourcedefinitions",
                     definition["metadata"]["name"], condition=_established)
    # For two seconds after a definition the server holds up each create of its kind. All wait at
    # once here, so that no test measures it.
    with concurrent.futures.ThreadPoolExecutor(len(definitions) or 1) as pool:
        for done in [pool.submit(_await_create, api, d) for d in definitions]:
            done.result()
    for obj in objects[len(definitions):]:
        api.apply(obj)


def _established(definition):
    # "conditions" is null for a moment.
    conditions = (definition or {}).get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _await_create(api, definition):
    spec = definition["spec"]
    version = next(v["name"] for v in spec["versions"] if v["served"])
    group = f"{spec['group']}/{version}"
    namespace = "default" if spec["scope"] == "Namespaced" else None
    path = path_of(f"{group}/{spec['names']['plural']}", namespace)
    probe = {"apiVersion": group, "kind": spec["names"]["kind"],
             "metadata": {"generateName": "probe-"}}

    def served():
        try:
            api.request("POST", path, probe, query={"dryRun": "All"})
        except ApiError as error:
            # The schema may well refuse an empty object: it got as far as that.
            return error.code in (400, 422)
        return True

    wait_until(served, 10, f"a {spec['names']['kind']} can be created", interval=0.05)
