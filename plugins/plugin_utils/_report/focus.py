# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: this file is no interface; it may change in any release.
"""The charges of a report as FOCUS data: the FinOps Open Cost and Usage Specification, version 1.2.

The columns are those that 1.2 makes mandatory or recommends, and the conditional ones that apply to usage which is
priced by a list; what is only ours begins with x_. It is for machines: what a name is, it stays, and only the CSV for
people guards a spreadsheet. The same input makes the same bytes. Pure: no input or output, no Ansible, no clock.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
from decimal import Decimal

from ...module_utils import _calendar
from .merged import CLUSTER
from .prices import MILLION, Charge
from .report import Report, Row

# Whoever runs the gateway provides it, and issues the invoice: costs may only be billed where these two are one
# (BilledCost; appendix on internal offerings). Who runs the model is the publisher.
SERVICE = "Envoy AI Gateway"
UNIT = "1000000 Tokens"


def to_focus_csv(report: Report, account: str) -> str:
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
    start, end = (_utc(_calendar.parse_time(report.usage[name], "period")) for name in ("start", "end"))
    begins, ends = _billing_period(report)
    cost, rate = _number(charge.cost), _number(charge.per_million)
    model, namespace = said.pop("model", ""), said.pop("namespace", "")
    # A namespace of the same name in another cluster is somebody else's.
    sub_account = "/".join(filter(None, (said.get(CLUSTER, ""), namespace)))
    provider = said.pop("provider", "") or SERVICE
    tokens = charge.kind.replace("_", " ")
    sku = f"{model}/{charge.kind}"
    return {
        "BilledCost": cost,
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingCurrency": currency,
        "BillingPeriodEnd": ends,
        "BillingPeriodStart": begins,
        "ChargeCategory": "Usage",
        # Set for corrections of an earlier period only.
        "ChargeClass": "",
        "ChargeDescription": f"{tokens} tokens of {model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": end,
        "ChargePeriodStart": start,
        # There are no commitments; rules of other columns ask for this one all the same.
        "CommitmentDiscountStatus": "",
        "ConsumedQuantity": _number(Decimal(charge.tokens)),
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "ContractedUnitPrice": rate,
        "EffectiveCost": cost,
        # No invoice is issued yet.
        "InvoiceId": "",
        "InvoiceIssuerName": SERVICE,
        "ListCost": cost,
        "ListUnitPrice": rate,
        "PricingCategory": "Standard",
        "PricingCurrency": currency,
        "PricingCurrencyContractedUnitPrice": rate,
        "PricingCurrencyEffectiveCost": cost,
        "PricingCurrencyListUnitPrice": rate,
        "PricingQuantity": _number(charge.tokens / MILLION),
        "PricingUnit": UNIT,
        "ProviderName": SERVICE,
        "PublisherName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuMeter": f"{tokens.title()} Tokens",
        "SkuPriceDetails": _json({"x_Model": model, "x_TokenType": charge.kind}),
        "SkuPriceId": sku,
        "SubAccountId": sub_account,
        "SubAccountName": namespace,
        "Tags": _json(said),
        "x_Model": model,
        "x_TokenType": charge.kind,
    }


def _json(values: dict[str, str]) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True)


def _number(number: Decimal) -> str:
    """A number without an exponent, and with a point: a reader that guesses types takes it for a decimal."""
    text = f"{number:f}"
    if "." not in text:
        return f"{text}.0"
    text = text.rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _billing_period(report: Report) -> tuple[str, str]:
    """The months, in the report's zone, that the period is in: they are billed whole, whatever part is reported."""
    place = _calendar.zone_of(report.zone)
    start, end = (_calendar.parse_time(report.usage[name], "period").timestamp() for name in ("start", "end"))
    first = _calendar.day_of(start, place).replace(day=1)
    last = max(_calendar.day_of(end - 1, place), first).replace(day=1)
    following = (last + datetime.timedelta(days=31)).replace(day=1)
    return _utc(_calendar.day_start(first, place)), _utc(_calendar.day_start(following, place))


def _utc(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
