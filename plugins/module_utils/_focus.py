# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The charges of a report as FOCUS data: the FinOps Open Cost and Usage Specification.

The columns are those that version 1.0 makes mandatory, and the conditional ones that apply. Of later versions the
subcategory of the service is there too; what is only ours begins with x_. The same input makes the same bytes.
Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
from decimal import Decimal

from ansible_collections.aigateway.metering.plugins.module_utils import _period
from ansible_collections.aigateway.metering.plugins.module_utils._prices import MILLION, Charge
from ansible_collections.aigateway.metering.plugins.module_utils._report import Report, Row, cell

SERVICE = "Envoy AI Gateway"
UNIT = "1000000 Tokens"


def as_csv(report: Report, account: str) -> str:
    """A line for each type of token that is charged in a row of the report.

    What has no price is left out, because a charge cannot be without a cost. Costs are exact: they are not rounded.

    Args:
        report: one with prices.
        account: what the billing account is called.
    """
    currency = report.prices.currency if report.prices else ""
    rows = [_columns(report, row, charge, account, currency) for row in report.rows for charge in row.charges]
    # Every row has the same columns, and there are some without a row, too.
    names = _columns(report, Row(("",) * len(report.by), {}, 0, 0, None), _NONE, account, currency)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_NONE = Charge("input", 0, Decimal(0))


def _columns(report: Report, row: Row, charge: Charge, account: str, currency: str) -> dict[str, str]:
    said = dict(zip(report.by, row.key, strict=True))
    start, end = (_utc(report.usage[name]) for name in ("start", "end"))
    cost, rate = _plain(charge.cost), _plain(charge.per_million)
    model, namespace = said.pop("model", ""), said.pop("namespace", "")
    provider = said.pop("provider", "") or SERVICE
    tokens = charge.kind.replace("_", " ")
    sku = f"{model}/{charge.kind}"
    columns = {
        "BilledCost": cost,
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": currency,
        "BillingPeriodEnd": end,
        "BillingPeriodStart": start,
        "ChargeCategory": "Usage",
        # Set for corrections of an earlier period only.
        "ChargeClass": "",
        "ChargeDescription": f"{tokens} tokens of {model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": end,
        "ChargePeriodStart": start,
        "ConsumedQuantity": str(charge.tokens),
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": rate,
        "EffectiveCost": cost,
        "InvoiceIssuerName": account,
        "ListCost": cost,
        "ListUnitPrice": rate,
        "PricingCategory": "Standard",
        "PricingQuantity": _plain(charge.tokens / MILLION),
        "PricingUnit": UNIT,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuPriceId": sku,
        "SubAccountId": namespace,
        "SubAccountName": namespace,
        "Tags": json.dumps(said, ensure_ascii=False, sort_keys=True),
        "x_Model": model,
        "x_TokenType": charge.kind,
    }
    return {name: cell(text) for name, text in columns.items()}


def _plain(number: Decimal) -> str:
    """A number without an exponent and without zeros that say nothing."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _utc(moment: str) -> str:
    at = _period.moment(moment, "period").astimezone(datetime.UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
