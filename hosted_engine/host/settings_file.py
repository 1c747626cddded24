"""Writing this host's settings file so that it is whole at every moment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hosted_engine.errors import CommandError
from metadata.settings.parse import HostSettings, host_settings_to_data
from world.durable import sync_directory

# Beside host.yaml: what the next host needs, and what was typed for a deployment not finished yet.
ANSWERS_NAME = "answers.yaml"
TYPED_ANSWERS_NAME = "typed-answers.yaml"

_HEADER = "# Written by hosted-engine --deploy. Restart ha-broker and ha-agent after a change.\n"


def write_host_settings(path: str, settings: HostSettings) -> None:
    """Write ``host.yaml`` (mode 0644), replacing it in one step; raises CommandError."""
    import yaml

    text = _HEADER + yaml.safe_dump(host_settings_to_data(settings), sort_keys=False)
    try:
        replace_file(Path(path), text.encode())
    except OSError as error:
        raise CommandError(f"{path}: can't be written: {error}") from error


def replace_file(path: Path, data: bytes) -> None:
    """The file holds either what it held or all of `data`, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
