# Copyright: aigateway.metering contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests on the stand are made of; demonstrations and benchmarks use it, too."""

import sys
from pathlib import Path

# The collection, and what raises the stand: pytest's own settings are not those of a demonstration.
sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in (".collections", "tests/stand")]
