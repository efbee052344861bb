# SPDX-License-Identifier: Apache-2.0
"""Images without a registry: an OCI archive (github.com/opencontainers/image-spec) of images of one
layer, byte by byte the same for the same content."""

import hashlib
import io
import json
import platform
import tarfile

OCI = "application/vnd.oci.image"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Image:
    """`files`: {path in the image: path of the program that is put there}."""

    def __init__(self, name, files, entrypoint):
        self.name, self.files, self.entrypoint = name, files, entrypoint


def from_dockerfile(name, dockerfile, built):
    """The image that `docker build` would make of a Dockerfile FROM scratch. `built` maps what it
    copies to where that is. An instruction that is not understood is an error, so that the image
    can't silently be another one."""
    files, entrypoint = {}, None
    with open(dockerfile, encoding="utf-8") as lines:
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word == "COPY":
                source, target = rest.split()
                files[target.lstrip("/")] = built[source]
            elif word == "ENTRYPOINT":
                entrypoint = json.loads(rest)
            elif word and not word.startswith("#") and (word, rest) != ("FROM", "scratch"):
                raise ValueError(f"{dockerfile}: {line.strip()!r} is not known here")
    return Image(name, files, entrypoint)


def write_archive(path, images):
    blobs, manifests = {}, []

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def document(value, kind):
        return blob(json.dumps(value, sort_keys=True).encode(), kind)

    for image in images:
        layer = blob(layer_of(image.files), f"{OCI}.layer.v1.tar")
        config = document(
            {
                "architecture": MACHINES[platform.machine()],
                "os": "linux",
                "config": {"Entrypoint": image.entrypoint},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            },
            f"{OCI}.config.v1+json",
        )
        manifest = document(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": config,
                "layers": [layer],
            },
            f"{OCI}.manifest.v1+json",
        )
        manifests.append({**manifest, "annotations": {"io.containerd.image.name": image.name}})
    with tarfile.open(path, "w") as archive:
        add(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode(), 0o644)
        index = {"schemaVersion": 2, "manifests": manifests}
        add(archive, "index.json", json.dumps(index, sort_keys=True).encode(), 0o644)
        for digest, data in blobs.items():
            add(archive, f"blobs/sha256/{digest}", data, 0o644)


def layer_of(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as layer:
        for name, source in sorted(files.items()):
            with open(source, "rb") as file:
                add(layer, name, file.read(), 0o755)
    return data.getvalue()


def add(archive, name, data, mode):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    archive.addfile(entry, io.BytesIO(data))
