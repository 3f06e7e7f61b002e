"""What the scripts share: flags by subject, help, errors as one sentence, progress."""

from command_line.common import WARM_UP, explain, parser, positive, progress, quiet_libraries, run, say
from command_line.flags import (
    ATTENTION_BACKENDS,
    MIXED_PRECISION,
    add_device_flags,
    add_model_flags,
    add_sampling_flags,
    add_speed_flags,
)

__all__ = [
    "ATTENTION_BACKENDS",
    "MIXED_PRECISION",
    "WARM_UP",
    "add_device_flags",
    "add_model_flags",
    "add_sampling_flags",
    "add_speed_flags",
    "explain",
    "parser",
    "positive",
    "progress",
    "quiet_libraries",
    "run",
    "say",
]
