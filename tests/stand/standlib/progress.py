"""Steps that say what they do, how long they have taken, and where their log is when they fail."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .settings import LOGS

HEARTBEAT_SECONDS = 20
_START = time.monotonic()
_print_lock = threading.Lock()


class StandError(Exception):
    """Something a person has to act on. The message says what, and what to do next."""


def say(text: str) -> None:
    """Print one line, stamped with the seconds since the command started."""
    with _print_lock:
        print(f"[{time.monotonic() - _START:6.1f} s] {text}", flush=True)


class Step:
    """One step's log file, and the commands that write to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log = LOGS / f"{name.replace(' ', '-').replace('/', '-')}.log"

    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        """Run a command, its output kept in the log, and return its standard output.

        Raises StandError with the last lines of the log when the command fails.
        """
        words = [os.fspath(word) for word in command]
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(words)}\n")
            log.flush()
            try:
                done = subprocess.run(
                    words,
                    cwd=cwd,
                    env={**os.environ, **(env or {})},
                    input=stdin,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    check=False,
                )
            except FileNotFoundError as missing:
                raise StandError(f"{self.name}: {missing.filename} is not installed") from missing
            log.write(done.stdout)
        if done.returncode:
            tail = "\n".join(f"    {line}" for line in self.log.read_text().splitlines()[-15:])
            raise StandError(
                f"{self.name}: {words[0]} ended with {done.returncode}. The last lines of {self.log}:\n{tail}"
            )
        return done.stdout


@contextlib.contextmanager
def step(name: str) -> Iterator[Step]:
    """Announce a step, tell every HEARTBEAT_SECONDS that it goes on, and say how long it took."""
    LOGS.mkdir(parents=True, exist_ok=True)
    current = Step(name)
    current.log.write_text("")
    say(f"{name} ...")
    started = time.monotonic()
    ended = threading.Event()

    def heartbeat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            say(f"{name}: still at it after {time.monotonic() - started:.0f} s (log: {current.log})")

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    try:
        yield current
    except BaseException:
        say(f"{name}: FAILED after {time.monotonic() - started:.1f} s")
        raise
    finally:
        ended.set()
        thread.join()
    say(f"{name}: done in {time.monotonic() - started:.1f} s")


def wait_until(what: str, probe, timeout: float, interval: float = 0.5):
    """Poll probe() until it returns something true, and return that.

    Raises StandError naming what was waited for and the probe's last answer.
    """
    deadline = time.monotonic() + timeout
    answer = None
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(interval)
    raise StandError(f"waited {timeout:.0f} s for {what}, in vain (last answer: {answer!r})")


def main_guard(main) -> None:
    """Run main(); a StandError or an interruption ends with one message and exit code 1, never a traceback."""
    try:
        main()
    except StandError as error:
        print(f"stand: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("stand: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(130) from None
