"""Raises a cluster of the stand, or brings one that is there up to date."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator

from . import cluster, engine, images, platform
from .progress import StandError, say
from .settings import CACHE, kubeconfig


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Another that raises or removes a cluster, of this clone or of another, is waited for."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another stand command is at work on this machine; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up(name: str) -> None:
    """Raise a cluster, or bring it up to date."""
    started = time.monotonic()
    with one_at_a_time():
        engine.ensure()
        built = images.ensure()
        try:
            _install(name, built)
        except StandError as sick:
            say(f"{sick}\ncluster {name}: it is made anew")
            cluster.delete(name)
            _install(name, built)
    say(f"the stand is up after {time.monotonic() - started:.0f} s: KUBECONFIG={kubeconfig(name)}")


def _install(name: str, built: bool) -> None:
    cluster.ensure(name, built)
    if built:
        cluster.load_images(name)
    platform.install(name)
