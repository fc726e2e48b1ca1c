# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""Whether a label of the mapping carries data at the sidecars, and why one does not.

Pure: the objects come in as the API server's JSON; no input or output, no Ansible, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import mapping as _mapping
from .controller import Controller
from .exposition import TokenSum, arrays, labels_with_data
from .header_setters import Setters
from .sidecar import Sidecar


@dataclass(frozen=True)
class LabelState:
    """Whether a label carries data at the sidecars."""

    carries_data: bool
    expected: bool
    """Nothing speaks against it: it is mapped, a SecurityPolicy sets its header, only traffic is missing."""
    reason: str
    """Why it carries none, or an empty text."""


def state_of(
    label: str,
    mapping: Mapping[str, str],
    samples: Sequence[TokenSum],
    stale: Sequence[str],
    setters: Setters,
) -> LabelState:
    """Work out from what is there whether a label carries data, and otherwise why not.

    Args:
        label: the label.
        mapping: header to label, as the controller has it.
        samples: what the sidecars expose.
        stale: proxy pods whose sidecar has another mapping.
        setters: what sets headers.
    """
    if label in labels_with_data(samples):
        return LabelState(True, True, "")
    headers = [header for header, mapped in mapping.items() if mapped == label]
    if not headers:
        return LabelState(False, False, "no header is mapped to it")
    header = headers[0]
    is_set = bool(setters.of(header))
    if stale:
        return LabelState(False, is_set, f"stale proxies: {', '.join(stale)}")
    if not is_set:
        return LabelState(False, False, setters.why_unset(header))
    if not samples:
        return LabelState(False, True, "no traffic yet")
    names = setters.names(header)
    only_arrays = arrays(samples, [label])
    if only_arrays:
        return LabelState(False, False, f"{names} sets {header} from array claims only: {only_arrays[label][0]}")
    what = "had that claim" if all(setter.claim for setter in setters.of(header)) else "had a value for it"
    return LabelState(False, False, f"{names} sets {header}, but no caller {what}")


def label_states(
    controller: Controller,
    sidecars: Sequence[Sidecar],
    samples: Mapping[str, Sequence[TokenSum]],
    setters: Setters,
) -> dict[str, LabelState]:
    """For each label of the controller's mapping, whether it carries data, and otherwise why not."""
    mapping = _mapping.metric_labels(controller.pairs, controller.base)
    everything = [sample for found in samples.values() for sample in found]
    stale = [sidecar.name for sidecar in sidecars if sidecar.is_stale(controller)]
    return {label: state_of(label, mapping, everything, stale, setters) for label in mapping.values()}
