"""What Prometheus has stored of the gateways' tokens, to be held against the ledger."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from .kube import Kubectl
from .platform import MONITORING_NAMESPACE
from .traffic import TOKEN_TYPES, Totals

PROMETHEUS = f"/api/v1/namespaces/{MONITORING_NAMESPACE}/pods/prometheus-kube-prometheus-0-0:9090/proxy/api/v1"
SERVICE = f"/api/v1/namespaces/{MONITORING_NAMESPACE}/services/{{}}/proxy/api/v1"
TOKENS = "sum by (user_namespace, department, gen_ai_request_model, gen_ai_token_type) (gen_ai_client_token_usage_sum)"


def query(kubectl: Kubectl, promql: str, at: float | None = None, *, asked: str = PROMETHEUS) -> list[dict]:
    """The vector that an instant query yields, now or at a time (Unix seconds), on the stand's Prometheus or another.

    VictoriaMetrics would leave out the last half minute.
    """
    time = "" if at is None else f"&time={at:.3f}"
    return kubectl.raw(f"{asked}/query?query={quote(promql)}{time}&latency_offset=1ms")["data"]["result"]


def stored_totals(kubectl: Kubectl) -> Totals:
    """The counters' present values by (namespace, department, model, token type); those of running proxies only."""
    totals: Totals = {}
    for series in query(kubectl, TOKENS):
        labels = series["metric"]
        key = (
            labels.get("user_namespace", ""),
            labels.get("department", ""),
            labels.get("gen_ai_request_model", ""),
            labels["gen_ai_token_type"],
        )
        tokens = round(float(series["value"][1]))
        if key[3] in TOKEN_TYPES and tokens:
            totals[key] = tokens
    return totals


def growth(before: Totals, after: Totals) -> Totals:
    """What was counted in between. Right as long as no proxy ended meanwhile."""
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    return {key: value for key, value in grown.items() if value}


def _readable(value: str) -> str:
    """A label's value for a person: an encoded array claim is shown as the array."""
    try:
        decoded = json.loads(base64.b64decode(value, validate=True))
    except ValueError:
        return value or "-"
    return f"(array {','.join(map(str, decoded))})" if isinstance(decoded, list) else value


def table(stored: Totals, ledger: Totals) -> str:
    """Both side by side, a line for each key of either."""
    rows: list[tuple[str, ...]] = [("namespace", "department", "model", "type", "Prometheus", "ledger", "")]
    for key in sorted(stored.keys() | ledger.keys()):
        counted, served = stored.get(key, 0), ledger.get(key, 0)
        verdict = "equal" if counted == served else f"DIFFERENT by {counted - served}"
        rows.append((*(_readable(part) for part in key), str(counted), str(served), verdict))
    return aligned(rows, texts=4)


def aligned(rows: list[tuple[str, ...]], texts: int) -> str:
    """Rows as a table whose first so many columns are texts, and the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < texts else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
