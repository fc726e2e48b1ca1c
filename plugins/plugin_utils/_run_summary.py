# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""The summary at the end of a run: at most 20 lines for whoever started it. Pure: it only puts words together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_LINES = 20
MAX_WIDTH = 160
# Of what was found, however long the next command is.
MIN_WIDTH = 60
# Of what to do: a mapping may be a part of it.
MAX_ADVICE = 400


def _names(found: Sequence[str], none: str) -> str:
    return ", ".join(found) if found else none


def _labels(labels: Mapping[str, Mapping[str, Any]]) -> list[str]:
    with_data = [name for name, state in labels.items() if state["carries_data"]]
    without = [f"{name}: {state['reason']}" for name, state in labels.items() if not state["carries_data"]]
    return [
        f"labels with data: {_names(with_data, 'none yet')}",
        *(f"labels without data: {text}" for text in without[:4]),
        *([f"labels without data: {len(without) - 4} more"] if len(without) > 4 else []),
    ]


def summary_lines(
    gateway: Mapping[str, Any],
    labels: Mapping[str, Any],
    rollout: Mapping[str, Any],
    monitor: Mapping[str, Any],
    check: Mapping[str, Any],
    dashboard: str,
    entrance: Mapping[str, Any],
    *,
    check_mode: bool,
) -> list[str]:
    """The summary's lines.

    Args:
        gateway: the result of gateway_info, read after the last change of the run.
        labels: the result of merge_metrics_attributes.
        rollout: the result of proxy_rollout.
        monitor: the result of podmonitor_dedupe.
        check: the result of prom_scrape_check; skipped or empty where it did not run.
        dashboard: where the dashboard is, or why there is none.
        entrance: the result of query_entrance; skipped or empty where it did not run.
        check_mode: whether nothing was really changed.
    """
    proxies = [_names(rollout["restarted"], "none")]
    proxies += [f"rolled by the gateway: {_names(rollout['waited'], '')}"] if rollout["waited"] else []
    proxies += [f"LEFT STALE: {_names(rollout['stale'], '')}"] if rollout["stale"] else []
    proxies += [f"current already: {len(rollout['current'])}"]
    changes = [f"{word} {monitor[word]}" for word in ("created", "updated", "kept") if monitor.get(word)][:1]
    changes += [f"removed {', '.join(monitor['removed'])}"] if monitor.get("removed") else []
    changes += [f"redundant: {entry['name']}" for entry in monitor.get("left", [])]
    failure = next((result for result in (monitor, check) if result.get("failed")), {})
    found = [
        f"cluster: {labels['server']}{' (check mode: nothing was changed)' if check_mode else ''}",
        f"controller: {labels['controller']} {gateway['controller']['version']}",
        f"pairs before: {labels['before'] or 'none'}",
        f"pairs after:  {labels['after']}",
        f"proxies {'to restart' if check_mode else 'restarted'}: {'; '.join(proxies)}",
        f"PodMonitor: {'; '.join(changes) or 'none'}",
        f"scrape by {gateway['prometheus'] or 'nobody'}: {_targets(check, failure)}",
        f"stored as: {_names(gateway['names'] or (), 'nothing yet')}",
        *_labels(gateway.get("labels", {})),
        f"dashboard: {dashboard}",
        f"isolation: {_isolation(gateway, entrance)}",
    ]
    last = [f"to do: {failure['advice']}"] if failure.get("advice") else []
    found += caution_lines(
        warnings_of([monitor, check, gateway, labels, rollout, entrance]), MAX_LINES - len(found) - len(last) - 1
    )
    found += last
    found.append(f"next: {_next(check, rollout, failure, check_mode)}")
    return found


def _isolation(gateway: Mapping[str, Any], entrance: Mapping[str, Any]) -> str:
    if entrance.get("entrance"):
        closed = "it refuses who has no credentials" if entrance["closed"] else "not looked at from outside"
        return f"{entrance['entrance']} shows each caller its own namespaces at {entrance['url']}; {closed}"
    if entrance.get("failed"):
        return f"FAILED: {entrance.get('found') or entrance.get('msg', '')}"
    there = gateway.get("entrances") or []
    if there:
        return f"{', '.join(there)}, as an earlier run has left it"
    return "none: whoever can query the data source sees every team's usage (dashboard_isolation)"


def warnings_of(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every warning of a run, each once.

    Args:
        results: results of modules, those with the gravest warnings first.
    """
    texts = (text for result in results for key in ("cautions", "warnings") for text in result.get(key) or ())
    return list(dict.fromkeys(map(str, texts)))


def caution_lines(warnings: Sequence[str], room: int) -> list[str]:
    """A line for each warning, as far as there is room; the last then says how many there are besides."""
    if len(warnings) <= room:
        return [_shortened(text) for text in warnings]
    shown = max(room - 1, 0)
    more = f"caution: {len(warnings) - shown} more, all of them in the job's artifact metering_cautions and above"
    return [*map(_shortened, warnings[:shown]), more]


def _shortened(text: str) -> str:
    """A warning as a line; what to do, which is its last sentence, and the next command stay whole."""
    told, separator, command = " ".join(text.split()).partition(" Next: ")
    at = told.rstrip(".").rfind(". ") + 1
    found, advice = (told[:at], _cut(told[at:], MAX_ADVICE)) if at else (told, "")
    # A sentence or two may be told in full.
    room = max(MAX_WIDTH - len(advice) - len(separator) - len(command), MIN_WIDTH)
    return f"caution: {_cut(found, room)}{advice}{separator}{command}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3]}..."


def _targets(check: Mapping[str, Any], failure: Mapping[str, Any]) -> str:
    if failure:
        return f"FAILED: {failure.get('found') or failure.get('msg', '')}"
    if "pools" not in check:
        return "not checked, nothing was changed"
    pools = ", ".join(f"{name} ({count})" for name, count in sorted(check["pools"].items()))
    once = "each scraped once" if check["scraped_once"] else "some scraped several times,"
    return f"{check['targets']} targets, {once} and up, in {pools}"


def _next(check: Mapping[str, Any], rollout: Mapping[str, Any], failure: Mapping[str, Any], check_mode: bool) -> str:
    if failure:
        return str(failure.get("command") or "act on the failure above, then run this again")
    if check_mode:
        return "run it without --check"
    if rollout["stale"]:
        return "in the maintenance window, run this without labels_restart: false and for every gateway"
    if check.get("no_traffic"):
        return "send a request through the gateway and run this again: it then shows which labels carry data"
    return "open the dashboard; you can run this again at any time, it changes only what has drifted"
