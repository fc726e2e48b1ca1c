# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Keeps the answers about times that are over, so that a long report does not begin anew after an interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import MeteringError, doc_of
from .._prometheus.replica import Replica

# What was scraped so many seconds ago is stored, and does not change: Prometheus writes a block every two hours, and
# what is sent elsewhere arrives within minutes.
SETTLED = 3 * 3600.0
# An answer is kept so many seconds: longer than anybody works on the report of a month.
KEPT = 40 * 86400.0
# Another that writes is waited for so many seconds.
PATIENCE = 60.0


class Answers:
    """Answers in a file. Who may read it may read what was used by whom: it is its owner's alone."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it.

        Raises:
            MeteringError: it cannot be written.
        """
        import sqlite3  # Python can be built without it; only who keeps answers needs it

        self._error: type[Exception] = sqlite3.Error
        self._path = Path(path)
        self._lock = threading.Lock()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(self._path, timeout=PATIENCE, check_same_thread=False)
            # An interrupted run loses nothing by this; a machine that falls may lose the file, which is then made anew.
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, told BLOB, made REAL)")
            self._database.execute("DELETE FROM answers WHERE made < ?", (time.time() - KEPT,))
            self._database.commit()
        except (OSError, sqlite3.Error) as error:
            raise MeteringError(
                f"{path} cannot be used as the cache of a report: {error}.",
                "An interrupted report would start again from the beginning.",
                "Correct report_cache: the path of a file that this collection makes. Remove it if it is broken.",
                doc_of("report"),
            ) from error

    def get(self, key: str) -> list[dict[str, Any]] | None:
        """The answer to a question; None where it is not kept."""
        with self._lock, contextlib.suppress(self._error, ValueError, zlib.error):
            for (told,) in self._database.execute("SELECT told FROM answers WHERE key = ?", (key,)):
                found: list[dict[str, Any]] = json.loads(zlib.decompress(told))
                return found
        return None

    def put(self, key: str, answer: list[dict[str, Any]]) -> None:
        """Keep an answer. What cannot be kept is asked again another time."""
        told = zlib.compress(json.dumps(answer).encode(), 1)
        with self._lock, contextlib.suppress(self._error):
            self._database.execute("REPLACE INTO answers VALUES (?, ?, ?)", (key, told, time.time()))
            self._database.commit()

    def close(self) -> None:
        with self._lock, contextlib.suppress(self._error):
            self._database.close()


@dataclass(frozen=True)
class KeepingReplica(Replica):
    """A replica whose answers about times that are over are kept."""

    answers: Answers
    owner: str
    """What tells this store from any other: the cluster and the object."""
    settled: float
    """Until this time (Unix seconds) nothing changes any more."""

    def query(self, promql: str, at: float | None = None, *, apart: bool = False) -> list[dict[str, Any]]:
        if at is None or at > self.settled:
            return super().query(promql, at, apart=apart)
        asked = json.dumps([self.owner, self.name, promql, f"{at:.3f}", apart])
        key = hashlib.sha256(asked.encode()).hexdigest()
        found = self.answers.get(key)
        if found is None:
            found = super().query(promql, at, apart=apart)
            self.answers.put(key, found)
        return found


def with_kept_answers(replicas: Sequence[Replica], answers: Answers, owner: str, now: float) -> list[Replica]:
    """Replicas whose answers about times that are over are kept.

    Args:
        replicas: what is asked.
        answers: where they are kept.
        owner: what tells this store from any other.
        now: the present moment (Unix seconds).
    """
    return [KeepingReplica(replica.apis, answers, owner, now - SETTLED) for replica in replicas]
