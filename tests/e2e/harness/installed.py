# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The built collection in an environment of its own: what a user has who installs it from files, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from standlib import settings

from .runs import ROOT

CACHE = settings.CACHE.parent / "matrix"
# The ansible packages that bundle a version of kubernetes.core, for machines that reach PyPI and no Galaxy.
BUNDLES = {"6.0.0": "12.0.0b1", "6.2.0": "12.3.0", "6.6.0": "14.5.0"}


@dataclass(frozen=True)
class Versions:
    """What a user may have."""

    ansible_core: str
    python: str
    kubernetes_core: str
    client: str

    def __str__(self) -> str:
        return (
            f"ansible-core {self.ansible_core}, Python {self.python}, kubernetes.core {self.kubernetes_core}, "
            f"kubernetes {self.client}"
        )


def find_python(version: str) -> str:
    """An interpreter of a version: this one, one on the PATH, or one of pyenv."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    named = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    # A shim of pyenv is there whether it leads anywhere or not.
    if found or (named and ".pyenv/shims" not in named):
        return str(found[-1]) if found else str(named)
    pytest.skip(f"this machine has no Python {version}: neither on the PATH nor in pyenv")


class Environment:
    """A virtual environment and a collections path with these versions alone; made once, and kept."""

    def __init__(self, versions: Versions, directory: Path) -> None:
        self._directory = directory
        self._bin = _virtual_environment(versions) / "bin"
        self.collections = directory / "collections"
        shutil.copytree(_kubernetes_core(versions.kubernetes_core), self.collections)
        (directory / "elsewhere").mkdir()
        # From files, as where there is no network.
        self.run("ansible-galaxy", "collection", "install", "--offline", "-p", str(self.collections), str(_built()))

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command in an empty directory, with nothing of this one's surroundings."""
        return subprocess.run(
            [str(self._bin / words[0]), *words[1:]],
            cwd=self._directory / "elsewhere",
            env={
                "PATH": f"{self._bin}:/usr/bin:/bin",
                "HOME": str(self._directory),
                "LANG": "C.UTF-8",
                "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
                "ANSIBLE_DEPRECATION_WARNINGS": "true",
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
                **more,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@cache
def _built() -> Path:
    """The collection, built."""
    directory = CACHE / f"built-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    subprocess.run(
        [galaxy, "collection", "build", "--output-path", directory], cwd=ROOT, check=True, capture_output=True
    )
    (found,) = directory.glob("*.tar.gz")
    return found


def _virtual_environment(versions: Versions) -> Path:
    words = (f"ansible-core=={versions.ansible_core}", f"kubernetes=={versions.client}", "jmespath")
    path = CACHE / "-".join([versions.python, versions.ansible_core, versions.client])
    if not (path / "done").exists():
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run([find_python(versions.python), "-m", "venv", path], check=True)
        pip = [path / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
        subprocess.run(pip, check=True)
        (path / "done").touch()
    return path


def _kubernetes_core(version: str) -> Path:
    path = CACHE / f"kubernetes.core-{version}"
    if not (path / "done").exists():
        shutil.rmtree(path, ignore_errors=True)
        wheels = CACHE / "wheels"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # The newest asks for a Python that need not be this one: it is only unpacked.
        more = ["--python-version", "3.13", "--only-binary", ":all:", "--dest", str(wheels)]
        subprocess.run([*pip, *more, f"ansible=={BUNDLES[version]}"], check=True)
        (wheel,) = wheels.glob(f"ansible-{BUNDLES[version]}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith("ansible_collections/kubernetes/core/")]
            archive.extractall(path, wanted)
        wheel.unlink()
        (path / "done").touch()
    return path
