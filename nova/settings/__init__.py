"""Every setting, one file per concern, read from the environment and checked before anything starts."""

from nova.settings import env
from nova.settings.auth import *  # noqa: F403
from nova.settings.base import *  # noqa: F403
from nova.settings.celery import *  # noqa: F403
from nova.settings.clickhouse import *  # noqa: F403
from nova.settings.database import *  # noqa: F403
from nova.settings.kafka import *  # noqa: F403
from nova.settings.limits import *  # noqa: F403
from nova.settings.logging import *  # noqa: F403
from nova.settings.ranking import *  # noqa: F403
from nova.settings.redis import *  # noqa: F403
from nova.settings.rest import *  # noqa: F403
from nova.settings.stream import *  # noqa: F403

env.check()
