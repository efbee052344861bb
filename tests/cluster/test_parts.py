# SPDX-License-Identifier: Apache-2.0
"""What the cluster is made of, as far as it can be told without one."""

import json
import tarfile

import pytest

import cgroups
import images

VERSION_1 = "3:cpu,cpuacct:/a\n2:memory:/a/b\n1:name=systemd:/\n"
VERSION_2 = "0::/a/b\n"


@pytest.mark.parametrize(
    "text,names",
    [
        (VERSION_1, ["cpu,cpuacct", "memory", "systemd"]),
        (VERSION_1 + VERSION_2, ["cpu,cpuacct", "memory", "systemd"]),
        (VERSION_2, ["unified"]),
    ],
)
def test_hierarchies_of_control_groups(text, names):
    assert [found.name for found in cgroups.hierarchies(text)] == names


def test_an_archive_is_the_same_each_time(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"content")
    made = [images.Image("registry.test/one:1", {"one": program}, ["/one", "word"])]
    for name in ("first.tar", "second.tar"):
        images.write_archive(tmp_path / name, made)
        program.touch()
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    with tarfile.open(tmp_path / "first.tar") as archive:
        read = lambda name: json.load(archive.extractfile(name))
        blob = lambda entry: read("blobs/" + entry["digest"].replace(":", "/"))
        (entry,) = read("index.json")["manifests"]
        assert entry["annotations"]["io.containerd.image.name"] == "registry.test/one:1"
        manifest = blob(entry)
        assert blob(manifest["config"])["config"]["Entrypoint"] == ["/one", "word"]
        layer = archive.extractfile("blobs/" + manifest["layers"][0]["digest"].replace(":", "/"))
        with tarfile.open(fileobj=layer) as files:
            assert files.extractfile("one").read() == b"content"
            assert files.getmember("one").mode == 0o755


def test_a_dockerfile_that_asks_for_more_is_refused(tmp_path):
    file = tmp_path / "Dockerfile"
    file.write_text('# made by hand\nFROM scratch\nCOPY a/egw /egw\nENTRYPOINT ["/egw"]\n')
    made = images.from_dockerfile("registry.test/egw:1", file, {"a/egw": "/built/egw"})
    assert (made.files, made.entrypoint) == ({"egw": "/built/egw"}, ["/egw"])
    file.write_text("FROM scratch\nRUN adduser egw\n")
    with pytest.raises(ValueError, match="RUN adduser egw"):
        images.from_dockerfile("registry.test/egw:1", file, {})
