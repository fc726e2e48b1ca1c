"""Where things are and which versions they have. No other file of the stand names a path or a version."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

STAND = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aigateway-metering" / "stand"
LOGS = CACHE / "logs"
VERSIONS: dict[str, str] = yaml.safe_load((STAND / "versions.yml").read_text())
DEFAULT_CLUSTER = "aigateway-metering"


def kubeconfig(cluster: str) -> Path:
    """The admin kubeconfig of one of the stand's clusters."""
    return CACHE / "kubeconfig" / f"{cluster}.yaml"
