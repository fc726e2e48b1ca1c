# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""What tells a counter from others, whichever scrape stored it.

Pure: no input or output, no Ansible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import _names

# Labels of the library that counts: they are the same for all counters, and are commonly dropped.
LIBRARY = ("otel_scope_", "otel.scope.")
Identity = tuple[tuple[str, str], ...]


def identity_of(labels: Mapping[str, str], target: Mapping[str, str] | None, pod: str) -> Identity:
    """What tells a counter from others, whichever scrape stored it and under whichever form of its names.

    Args:
        labels: those of a stored series.
        target: those of its target, which its series `up` carries; None where that is not known.
        pod: the pod whose sidecar it is, or what else tells that.
    """
    # What the scrape really added is told by the series `up` of the same target.
    added = {name for name in labels if name in _names.SCRAPE_LABELS} if target is None else set(target)
    own = {}
    for name, value in labels.items():
        # A label of the sidecar that the target has as well was renamed by the scrape.
        plain = name.removeprefix("exported_") if name.removeprefix("exported_") in added else name
        if value and name not in added and not plain.startswith(LIBRARY):
            own[_names.plain(plain)] = value
    return tuple(sorted({**own, "pod": pod}.items()))


def target_of(labels: Mapping[str, str], targets: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The target that a series comes from: the one all of whose labels it carries; of several the most particular."""
    fitting = [item for item in targets if item.items() <= labels.items()]
    return max(fitting, key=len) if fitting else None
