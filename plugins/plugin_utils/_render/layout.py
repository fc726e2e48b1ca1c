# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Where panels stand on a grid. Pure: no input or output, no Ansible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .dashboard_model import COLUMNS, Dashboard, Panel, PanelRow


class GridPlace(NamedTuple):
    """A place on a grid, from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def place_panels(row: PanelRow, top: int = 0) -> Iterator[tuple[Panel, GridPlace]]:
    """The panels of a row from left to right, and below each other where they do not fit."""
    x, y, height = 0, top, 0
    for panel in row.panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, GridPlace(x, y, panel.width, panel.height)
        x, height = x + panel.width, max(height, panel.height)


def place_rows(dashboard: Dashboard) -> Iterator[tuple[PanelRow | Panel, GridPlace]]:
    """The titles of rows and the panels below them, on one grid."""
    top = 0
    for row in dashboard.rows:
        yield row, GridPlace(0, top, COLUMNS, 1)
        placed = list(place_panels(row, top + 1))
        yield from placed
        top = max(place.y + place.height for dummy, place in placed)
