"""Writing this host's settings file so that it is whole at every moment."""

from __future__ import annotations

from pathlib import Path

from hosted_engine.errors import CommandError
from metadata.settings.parse import HostSettings, host_settings_to_data
from world.durable import replace_file

# Beside host.yaml: what the next host needs, and what was typed for a deployment not finished yet.
ANSWERS_NAME = "answers.yaml"
TYPED_ANSWERS_NAME = "typed-answers.yaml"

_HEADER = "# Written by hosted-engine --deploy. Restart ha-broker and ha-agent after a change.\n"


def write_host_settings(path: str, settings: HostSettings) -> None:
    """Write ``host.yaml`` (mode 0644), replacing it in one step; raises CommandError."""
    from world.plain_yaml import yaml_text

    data = host_settings_to_data(settings)
    if not settings.socket_group:  # a program from before this key would refuse it
        del data["socket_group"]
    text = _HEADER + yaml_text(data)
    try:
        write_settings_text(Path(path), text)
    except OSError as error:
        raise CommandError(f"{path}: can't be written: {error}") from error


def write_settings_text(path: Path, text: str) -> None:
    """A file for people to read (mode 0644), in a directory that is made; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode(), mode=0o644)
