"""Where things are and which versions they have. No other file of the stand names a path or a version."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import yaml

STAND = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aigateway-metering" / "stand"
LOGS = CACHE / "logs"
VERSIONS: dict[str, str] = yaml.safe_load((STAND / "versions.yml").read_text())
# A generation of the gateway whose published charts and images stand in place of those that can be built.
GENERATION = os.environ.get("GENERATION", "")
GENERATIONS: dict[str, dict[str, str]] = yaml.safe_load((STAND / "generations.yml").read_text())
if GENERATION and GENERATION not in GENERATIONS:
    raise SystemExit(f"GENERATION is {GENERATION}. tests/stand/generations.yml has {', '.join(GENERATIONS)}.")
# Of the gateway, the versions on the stand; of everything else there is one.
GATEWAY_VERSIONS = {name: VERSIONS[name] for name in ("ai_gateway", "envoy_gateway", "envoy")} | GENERATIONS.get(
    GENERATION, {}
)
DEFAULT_CLUSTER = "-".join(filter(None, ("aigateway-metering", GENERATION)))


def kubeconfig(cluster: str) -> Path:
    """The admin kubeconfig of one of the stand's clusters."""
    return CACHE / "kubeconfig" / f"{cluster}.yaml"


def hash_of_code() -> str:
    """Which state of the collection results are of: a short hash of what runs."""
    digest, root = hashlib.sha256(), STAND.parents[1]
    for folder in ("plugins", "roles", "playbooks"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".yml", ".j2"):
                digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def cluster_of(worker: str) -> str:
    """The cluster of one of several that run tests at once, by pytest-xdist's name for it (gw0, gw1, or master)."""
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 1
    return DEFAULT_CLUSTER if number == 1 else f"{DEFAULT_CLUSTER}-{number}"
