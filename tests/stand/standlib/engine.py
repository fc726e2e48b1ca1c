"""The Docker engine: the one that answers, or one of our own where the machine allows it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from .progress import StandError, say, step, wait_until
from .settings import CACHE, LOGS, STAND

PIDFILE = CACHE / "dockerd.pid"
RUNC_WRAPPER = STAND / "images" / "runtime" / "runc-without-sys-resource"
CAP_SYS_RESOURCE = 24
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# A node's programs have some 25, and those of all nodes belong to one user, who is allowed 128. The kube-proxy of a
# fifth node got none and ended, and nothing on that node reached its API server.
INOTIFY_INSTANCES = 1024


def answers() -> bool:
    """Whether a Docker engine answers."""
    if not shutil.which("docker"):
        return False
    done = subprocess.run(
        ["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True, check=False
    )
    return done.returncode == 0


def _lacks_sys_resource() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return False


def ensure() -> None:
    """Return with a Docker engine that answers.

    Raises StandError where none answers and this machine is not one on which we may start one.
    """
    if on_debian_as_root():
        _allow_inotify()
    if answers():
        return
    if not on_debian_as_root():
        raise StandError(
            "no Docker engine answers. Start one (or point DOCKER_HOST at one) and run this again; "
            "only as root on Debian does the stand install and start one itself."
        )
    install_packages({"docker.io": "dockerd", "iptables": "iptables"})
    with step("Docker engine: none answers, starting one"):
        _start()


def on_debian_as_root() -> bool:
    """Whether this is a machine on which the stand may install Debian's packages."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists()


def install_packages(program_of: dict[str, str]) -> None:
    """Install those Debian packages whose program is missing."""
    missing = [package for package, program in program_of.items() if not shutil.which(program)]
    if missing:
        with step(f"Debian packages {' '.join(missing)}") as current:
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            current.run(["apt-get", "update", "-q"], env=quiet)
            current.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], env=quiet)


def _allow_inotify() -> None:
    """Let a user have as many inotify instances as several nodes need, where the machine lets us."""
    if int(INOTIFY.read_text()) >= INOTIFY_INSTANCES:
        return
    try:
        INOTIFY.write_text(str(INOTIFY_INSTANCES))
    except OSError as refused:
        say(f"{INOTIFY} cannot be set to {INOTIFY_INSTANCES} ({refused}); more than four clusters may not come up")


def _start() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    for leftover in ("/var/run/docker.pid", "/var/run/docker/containerd/containerd.pid"):
        _remove_if_dead(Path(leftover))
    command = ["dockerd"]
    if _lacks_sys_resource():
        command += ["--add-runtime", f"stand={_installed_wrapper()}", "--default-runtime", "stand"]
    log = LOGS / "dockerd.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    PIDFILE.write_text(str(process.pid))
    try:
        wait_until("the Docker engine", lambda: process.poll() is not None or answers(), timeout=60)
    except StandError as slow:
        raise StandError(f"{slow}; its log is {log}") from slow
    if process.poll() is not None:
        tail = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-10:])
        raise StandError(f"dockerd ended with {process.returncode}. The last lines of {log}:\n{tail}")


def _installed_wrapper() -> Path:
    """A copy outside the clone: containers outlive the clone that started the engine."""
    target = CACHE / RUNC_WRAPPER.name
    shutil.copy2(RUNC_WRAPPER, target)
    return target


def _remove_if_dead(pidfile: Path) -> None:
    """Remove a pid file whose process is gone or is something else: it keeps dockerd from starting."""
    try:
        pid = int(pidfile.read_text())
        name = "" if _zombie(pid) else Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        name = ""
    if name not in ("dockerd", "containerd"):
        pidfile.unlink(missing_ok=True)


def stop_ours() -> None:
    """Stop the engine if it is one that the stand started and nothing else runs on it."""
    try:
        pid = int(PIDFILE.read_text())
        ours = Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except (OSError, ValueError):
        ours = False
    if not ours:
        PIDFILE.unlink(missing_ok=True)
        return
    running = subprocess.run(["docker", "ps", "-q"], capture_output=True, text=True, check=False).stdout.split()
    if running:
        say(f"Docker engine: left running, {len(running)} other containers use it")
        return
    with step("Docker engine: stopping the one that was started here"):
        os.kill(pid, signal.SIGTERM)
        wait_until("the Docker engine to end", lambda: not Path(f"/proc/{pid}").exists() or _zombie(pid), timeout=30)
    PIDFILE.unlink(missing_ok=True)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
