# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.

"""One usage out of those of several clusters, with the cluster as its first field.

What is merged is merged again in the same way: the slices of a job, and then their reports.
Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._errors import MeteringError
from ...module_utils._lists import words_of

CLUSTER = "cluster"
# What one usage has, and another has to have as well.
SHARED = ("start", "end")


def merge_usages(
    documents: Sequence[Mapping[str, Any]], missing: Mapping[str, str], *, incomplete: bool = False
) -> dict[str, Any]:
    """The usage of several clusters as one, in the form of the result of token_usage_info.

    Args:
        documents: results of token_usage_info, each with its `account`, the cluster's name; or reports as JSON.
        missing: by the names of clusters that could not be read, why.
        incomplete: whether it is made although some are missing; the first doubts then name these.

    Raises:
        MeteringError: a cluster is missing, or is there twice; periods or fields differ; there is none at all.
    """
    # What a report says of clusters that it lacks holds also where its rows are repeated by others.
    known_missing = [missing, *(document.get("missing") or {} for document in documents)]
    documents = _without_repeats(documents)
    clusters = [name for document in documents for name in _clusters(document)]
    # What one slice of a job could not read, another may have.
    absent = {name: why for part in known_missing for name, why in part.items() if name not in clusters}
    _require_all(documents, absent, incomplete=incomplete)
    first = documents[0]
    by = _fields(first)
    for document in documents:
        _require_like(first, document)
    _refuse_doubles(clusters)
    sources = {name: source for document in documents for name, source in _sources(document).items()}
    _refuse_one_cluster_twice(sources)
    return {
        **{name: first[name] for name in SHARED},
        "by": [CLUSTER, *by],
        "rows": [row for document in documents for row in _rows(document)],
        "days": _days(documents),
        **_sums(documents),
        "doubtful_tokens": sum(document.get("doubtful_tokens") or 0 for document in documents),
        "doubts": [
            *(f"INCOMPLETE: the cluster {name} was not read, and is in no sum. {why}" for name, why in absent.items()),
            *(text for document in documents for text in _doubts(document)),
        ],
        "missing": absent,
        "clusters": clusters,
        "sources": sources,
    }


def parse_report(text: str, name: str) -> dict[str, Any]:
    """A report as report.yml has written it as JSON.

    Args:
        text: the JSON.
        name: of the file, for the error.

    Raises:
        MeteringError: it is something else.
    """
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not _is_report(document):
        raise MeteringError(
            f"{name} is not a report that report.yml has written as JSON.",
            "Its tokens would be in no sum.",
            "Name the JSON files alone in report_merge_from, such as slices/*.json.",
        )
    return dict(document)


def _is_report(document: Any) -> bool:
    """Whether it has the shape of a report, as far as it is merged."""
    wanted = {*SHARED, "account", "by", "rows", "days", "tokens", "total", "requests", "doubts"}
    if not isinstance(document, dict) or not wanted <= set(document):
        return False
    parts = [document[name] for name in ("by", "rows", "days", "doubts")]
    if not all(isinstance(part, list) for part in parts):
        return False
    by, rows, days, doubts = parts
    maps = [document.get(name) or {} for name in ("missing", "sources")]
    of_merged = document.get("clusters") or []
    return (
        all(isinstance(found, dict) for found in maps)
        and isinstance(of_merged, list)
        and (CLUSTER not in by or bool(of_merged))
        and isinstance(document.get("doubtful_tokens") or 0, int | float)
        and all(isinstance(text, str) for text in (*by, *doubts, *of_merged, document["account"]))
        and all(_is_sum(item) for item in (document, *rows, *days))
        and all(isinstance(row.get(name), str) for row in rows for name in by)
        and all(isinstance(day.get("date"), str) for day in days)
    )


def _is_sum(item: Any) -> bool:
    """Whether it has tokens by type, their total and the requests, all whole numbers."""
    if not isinstance(item, dict):
        return False
    tokens, beside = item.get("tokens"), item.get("beside") or {}
    if not isinstance(tokens, dict) or not isinstance(beside, dict):
        return False
    numbers = [item.get("total"), item.get("requests"), *tokens.values(), *beside.values()]
    return all(isinstance(number, int) for number in numbers)


def refuse_amounts(documents: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to drop what reports have cost.

    Raises:
        MeteringError: one has amounts.
    """
    for document in documents:
        if document.get("currency"):
            raise MeteringError(
                f"The report of {document['account']} has amounts in {document['currency']}, and no prices are given.",
                "The merged report would have no amounts: they are computed anew from its tokens.",
                "Add report_prices with the price list of these reports.",
            )


def _require_all(documents: Sequence[Mapping[str, Any]], absent: Mapping[str, str], *, incomplete: bool) -> None:
    if not documents:
        raise MeteringError(
            "No report of a cluster could be read.",
            "There is nothing to merge.",
            "Act on the failures above, or correct report_merge_from.",
        )
    if absent and not incomplete:
        raise MeteringError(
            "Not all clusters were read. " + " ".join(f"{name}: {why}" for name, why in absent.items()),
            "A bill without them would be too low, so none was made.",
            "Run this again when they can be read, or add -e report_incomplete=true: the bill then says what it lacks.",
        )


def _require_like(first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name, one, two, shown in (
        *((name, first[name], other[name], True) for name in SHARED),
        ("by", _fields(first), _fields(other), True),
        # Two digests tell nobody anything.
        ("price list", first.get("price_list_digest", ""), other.get("price_list_digest", ""), False),
        ("report_department_from", first.get("department_from") or {}, other.get("department_from") or {}, True),
    ):
        if one != two:
            values = f": {one} and {two}" if shown else ""
            raise MeteringError(
                f"The reports of {first['account']} and {other['account']} differ in {name}{values}.",
                "One bill has one period, one set of fields and one price list.",
                "Make these alike for all clusters: report_period, report_zone, report_by, report_department_from and "
                "report_prices.",
            )


def _is_merged(document: Mapping[str, Any]) -> bool:
    return CLUSTER in words_of(document["by"])


def _fields(document: Mapping[str, Any]) -> list[str]:
    return [name for name in words_of(document["by"]) if name != CLUSTER]


def _rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = {} if _is_merged(document) else {CLUSTER: document["account"]}
    return [{**row, **own} for row in document["rows"]]


def _doubts(document: Mapping[str, Any]) -> list[str]:
    if _is_merged(document):
        return [text for text in document["doubts"] if not text.startswith("INCOMPLETE: ")]
    return [f"{document['account']}: {text}" for text in document["doubts"]]


def _clusters(document: Mapping[str, Any]) -> list[str]:
    return list(document["clusters"]) if _is_merged(document) else [document["account"]]


def _without_repeats(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In the order of their clusters, and without a merged report whose clusters all have a report of their own.

    A job that made several reports has merged them as well, and a pattern of file names takes both.
    """
    single = {document["account"] for document in documents if not _is_merged(document)}
    kept = [document for document in documents if not _is_merged(document) or not set(_clusters(document)) <= single]
    return sorted(kept, key=lambda document: sorted(_clusters(document)))


def _sources(document: Mapping[str, Any]) -> dict[str, str]:
    """By cluster, which one it really is: its API server, and what selects its series; empty where that is not told."""
    if _is_merged(document):
        return dict(document.get("sources") or {})
    return {document["account"]: document.get("source") or ""}


def _refuse_one_cluster_twice(sources: Mapping[str, str]) -> None:
    names: dict[str, str] = {}
    for name, source in sources.items():
        if source and names.setdefault(source, name) != name:
            raise MeteringError(
                f"{names[source]} and {name} are one cluster: {source}.",
                "Its tokens would be billed twice.",
                "Correct metering_kubeconfig, metering_context or metering_host of one of the two.",
            )


def _refuse_doubles(clusters: Sequence[str]) -> None:
    for name in sorted(set(clusters)):
        if clusters.count(name) > 1:
            raise MeteringError(
                f"The cluster {name} is in two reports.",
                "Its tokens would be billed twice.",
                "Give each cluster a name of its own (report_account, or the host's name), or name each file once.",
            )


def _days(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for document in documents:
        for day in document["days"]:
            found.setdefault(day["date"], []).append(day)
    return [{"date": date, **_sums(days)} for date, days in sorted(found.items())]


def add_rows(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of which each stands for other values of the fields `by`: those with the same are added up."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in by), []).append(row)
    return [{**dict(zip(by, key, strict=True)), **_sums(same)} for key, same in sorted(found.items())]


def _sums(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What rows, days or whole usages have together."""
    return {
        **{name: _added([part.get(name) or {} for part in parts]) for name in ("tokens", "beside")},
        **{name: sum(part[name] for part in parts) for name in ("total", "requests")},
    }


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for kind, tokens in part.items():
            found[kind] = found.get(kind, 0) + tokens
    return found
