"""What a process of Nova's takes before it does anything."""

import subprocess
import sys

_LOOK = """
import django
django.setup()
from nova import clickhouse
from clickhouse_driver.columns import datecolumn
print(len(datecolumn._date_lut), datecolumn._date_lut[70_000], datecolumn._date_lut_reverse[datecolumn._date_lut[-1]])
"""


def test_the_driver_keeps_few_days_and_finds_the_others() -> None:
    found = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=60)
    days, far, before = found.stdout.split()
    assert int(days) < 10_000
    assert (far, before) == ("2161-08-27", "-1")
