"""What `run_events_consumer` refuses before it begins."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command


def test_the_tokens_of_a_cluster_are_not_to_be_doubted(settings: Any) -> None:
    settings.CLICKHOUSE_CLUSTER = "nova"
    with pytest.raises(CommandError, match="Keeper") as refused:
        call_command("run_events_consumer", "--doubt-tokens")
    assert refused.value.returncode == 2
