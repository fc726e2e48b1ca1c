# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many series a pair would make."""

from __future__ import annotations

import promql_parser
import pytest

from ansible_collections.aigateway.metering.plugins.module_utils._prometheus import cardinality
from ansible_collections.aigateway.metering.plugins.module_utils._prometheus.cardinality import StoredSeries

COUNTED = dict.fromkeys(cardinality.QUERIES, 0) | {
    "series": 60,
    "sums": 6,
    "models": 2,
    "types": 4,
    "pods": 3,
    "users by user": 7,
}


def estimate(**changed):
    return cardinality.estimated_series("x-user-id:user_id", StoredSeries(COUNTED | changed, "7d", "monitoring/main"))


@pytest.mark.parametrize("promql", cardinality.QUERIES.values(), ids=cardinality.QUERIES.keys())
def test_every_query_parses(promql):
    promql_parser.parse(promql)


def test_users_models_types_pods_and_the_histogram_are_multiplied():
    assert f"up to {7 * 2 * 4 * 3 * 10} series" in estimate()


def test_the_label_that_tells_the_users_is_named():
    assert "7 users, as the label user has them" in estimate()


def test_of_several_such_labels_the_one_with_most_users_counts():
    assert "9 users, as the label email has them" in estimate(**{"users by email": 9})


def test_without_such_a_label_the_series_of_one_user_are_told():
    assert f"up to {2 * 4 * 3 * 10} series for each user" in estimate(**{"users by user": 0})


def test_without_a_sample_nothing_is_estimated():
    assert "is not known: no sample is stored" in estimate(sums=0, series=0)


def test_what_there_is_and_how_long_it_is_kept_stands_beside():
    assert "Prometheus monitoring/main has 60 series of the metric and keeps them 7d." in estimate()
