"""Shared parts of the scripts: flags by subject, help, errors as one sentence, progress."""

from command_line.common import (
    explain,
    flag,
    naming,
    parser,
    positive,
    progress,
    quiet_libraries,
    reason,
    run,
    say,
)
from command_line.flags import (
    add_backend_flags,
    add_device_flags,
    add_model_flags,
    add_person_flag,
    add_sampling_flags,
    add_speed_flags,
    add_tryon_flags,
    options,
)

__all__ = [
    "add_backend_flags",
    "add_device_flags",
    "add_model_flags",
    "add_person_flag",
    "add_sampling_flags",
    "add_speed_flags",
    "add_tryon_flags",
    "explain",
    "flag",
    "naming",
    "options",
    "parser",
    "positive",
    "progress",
    "quiet_libraries",
    "reason",
    "run",
    "say",
]
