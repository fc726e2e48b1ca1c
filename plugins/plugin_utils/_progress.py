# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Runs a module of the same name, and shows while it runs what it waits for."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.aigateway.metering.plugins.module_utils._progress import VARIABLE

POLL_SECONDS = 0.5


class ProgressAction(ActionBase):
    """The module's result, and on the way the lines that it tells."""

    _supports_async = True
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        with self._told() as environment:
            self._task.environment = [*(self._task.environment or []), environment]
            return result | self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val)

    @contextlib.contextmanager
    def _told(self) -> Iterator[dict[str, str]]:
        """What to add to the module's environment. Only a module that runs here, as us, and now, shares our files."""
        if self._connection.transport != "local" or self._play_context.become or self._task.async_val:
            yield {}
            return
        with tempfile.TemporaryDirectory(prefix="metering-") as directory:
            path = Path(directory) / "progress"
            path.touch()
            ended = threading.Event()
            thread = threading.Thread(target=self._show, args=(path, ended), daemon=True)
            thread.start()
            try:
                yield {VARIABLE: str(path)}
            finally:
                ended.set()
                thread.join()

    def _show(self, path: Path, ended: threading.Event) -> None:
        with path.open(encoding="utf-8") as file:
            last = False
            while True:
                for line in file:
                    # Standard output may be JSON, or whatever else a callback makes of it.
                    self._display.display(f"  {line.rstrip()}", stderr=True)
                if last:
                    return
                last = ended.wait(POLL_SECONDS)
