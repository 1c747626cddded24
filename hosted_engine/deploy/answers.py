# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The answers of ``--deploy --config-append=FILE``: what they may be, all problems at once.

YAML, strict: unknown keys, wrong types and impossible values are refused by key and value::

    storage: {path: /dev/…}         # required; optional sector_size and the parts' own places
    host: {host_id: 1, host_name: h1, bridge: ovirtmgmt, gateway: 198.51.100.1,
           metrics: {listen: 127.0.0.1:9177}}
    engine: {domain_xml_file: /root/engine.xml, fqdn: engine.example.org}
    sanlock: {io_timeout_s: 2}      # this and all below hold for the whole cluster
    timing: {tick_s: 5}
    score: {base: 3400}
    network: {test: dns}
    monitors: {interval_s: 10}
    notifications: {}

Only the first host's answers have `engine`: with it a cluster is created. What `engine` may have
beside the file is what the cluster's settings have there (`metadata.settings.parse`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from ha_broker.api import paths
from hosted_engine.config.change_rules import secret_problems
from hosted_engine.config.keys import value_text
from hosted_engine.errors import CommandError
from metadata.error_words import reason
from metadata.settings.parse import (
    HOST_SECTIONS,
    NESTED_SECTIONS,
    ClusterSettings,
    HostSettings,
    SettingsError,
    StorageParts,
    cluster_settings_to_data,
    parse_cluster_settings,
    parse_host_settings,
)
from metadata.settings.schema import Reader, Rule, integer, text, without_empty

_CLUSTER_SECTIONS = ("timing", "score", "network", "monitors", "notifications", "migration")
_SECTIONS = ("storage", "host", "engine", "sanlock", *_CLUSTER_SECTIONS)
_NESTED: Mapping[str, tuple[str, ...]] = {**NESTED_SECTIONS, "host": HOST_SECTIONS}
_HOST_KEYS = (
    *("host_id", "host_name", "bridge", "gateway", "libvirt_uri", "socket_group"),
    "migration_address",
    *HOST_SECTIONS,
)
_CLUSTER_ENGINE_KEYS = (
    *("fqdn", "health_url", "health_text", "health_timeout_s", "health_ca_file"),
    "guest_agent",
)
_DOMAIN_XML_FILE = text(r"[^\x00-\x1f\x7f]{1,4095}", "the path of a file with the domain XML")
_IO_TIMEOUT = integer(1, 120)
_PLACEHOLDER_STORAGE = {"path": "/placeholder"}


@dataclass(frozen=True)
class Answers:
    """The answers, checked as far as they can be alone.

    `storage` is plain data for `storage_parts`; `cluster` the given cluster-wide values as
    plain data in the shape of the shared settings; `host` the given local values, `metrics`
    among them as `MetricsSettings`.
    """

    source: str
    storage: Mapping[str, Any]
    host: Mapping[str, Any] = field(default_factory=dict)
    cluster: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    domain_xml_file: Optional[str] = None

    @property
    def creates(self) -> bool:
        """Do they describe a new cluster?"""
        return self.domain_xml_file is not None

    @property
    def path(self) -> str:
        """Path of the shared storage."""
        return str(self.storage["path"])


def read_data(path: str) -> Any:
    """The plain data in the file; raises CommandError."""
    from world.plain_yaml import PlainYamlError, parse_yaml

    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"))
    except PlainYamlError as error:
        raise CommandError(f"{path}: {error.of_file}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: can't be read: {reason(error)}") from error


def given_sections(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """What of a file's data says anything: without the sections that are empty."""
    return dict(without_empty(data, _SECTIONS))


def parse_answers(data: object, source: str) -> Answers:
    """Check plain data as YAML gives it; raises CommandError naming every problem."""
    reader = Reader(source)
    sections = _sections(reader, {} if data is None else data)
    host = _host(reader, sections.get("host", {}))
    if "storage" in sections:
        storage = sections["storage"]
        _collect(reader, lambda: _with_storage(storage, reader.source))
    elif not reader.problems:
        reader.problem("storage", "is missing; allowed: a mapping with at least path")
    engine = sections.get("engine")
    answers = Answers(
        source=source,
        storage=sections.get("storage", {}),
        host=host,
        cluster=_cluster(reader, sections),
        domain_xml_file=_domain_xml_file(reader, engine),
    )
    if answers.creates and not reader.problems:
        _collect(reader, lambda: _check_cluster(answers.cluster, source))
    if reader.problems:
        raise CommandError("; ".join(reader.problems))
    return answers


def _check_cluster(cluster: Mapping[str, Any], source: str) -> None:
    """Raise SettingsError."""
    settings = parse_cluster_settings(cluster, source)
    problems = secret_problems(ClusterSettings(), settings, paths.secrets_dir())
    if problems:
        raise SettingsError([f"{source}: {problem}" for problem in problems])


def storage_parts(answers: Answers, sector_size: int) -> StorageParts:
    """Where the parts lie; `sector_size` is what was found, unless the answers say it."""
    data = {"sector_size": sector_size, **answers.storage}
    return _with_storage(data, answers.source).storage


def local_settings(answers: Answers, parts: StorageParts) -> HostSettings:
    """What the answers say for host.yaml; id and name are not decided here and mean nothing."""
    given = {key: value for key, value in answers.host.items() if key != "metrics"}
    storage = {"sector_size": parts.sector_size, **answers.storage}
    whole = {"host_id": 1, "host_name": "placeholder", **given, "storage": storage}
    settings = parse_host_settings(whole, answers.source)
    return replace(settings, metrics=answers.host.get("metrics", settings.metrics))


def host_name(answers: Answers, machine_name: str) -> str:
    """The name that the answers give, else the machine's own.

    Raises CommandError for a machine's name that host.yaml may not have.
    """
    name = answers.host.get("host_name", machine_name)
    whole = {"host_id": 1, "host_name": name, "storage": _PLACEHOLDER_STORAGE}
    try:
        return parse_host_settings(whole, "this machine's own name").host_name
    except SettingsError as error:
        why = "; ".join(error.problems)
        raise CommandError(
            f"{why}; give the host another name in the answers: host.host_name"
        ) from error


def created_settings(answers: Answers, domain_name: str, gateway: str) -> ClusterSettings:
    """The settings of the cluster that the answers describe; raises CommandError.

    The first host's bridge and gateway become what later hosts take by default, where the
    answers do not say it; not a gateway by its device (``fe80::1%eth0``), which is the host's own.
    """
    common = "" if "%" in gateway else gateway
    usual = {"bridge": answers.host.get("bridge", ""), "gateway": common}
    network = {**usual, **answers.cluster.get("network", {})}
    engine = {**answers.cluster.get("engine", {}), "domain_name": domain_name}
    return _cluster_settings({**answers.cluster, "engine": engine, "network": network}, answers)


def differing_keys(answers: Answers, stored: ClusterSettings) -> list[str]:
    """The cluster-wide keys that the answers give another value than the storage has."""
    data = cluster_settings_to_data(stored)
    merged = {**data}
    for name, section in answers.cluster.items():
        merged[name] = {**data[name], **section}
    wanted = cluster_settings_to_data(_cluster_settings(merged, answers))
    return [
        f"{_answer_key(name, key)}: {value_text(wanted[name][key])} "
        f"(the cluster has {value_text(data[name][key])})"
        for name in data
        for key in data[name]
        if wanted[name][key] != data[name][key]
    ]


def _answer_key(section: str, key: str) -> str:
    return "sanlock.io_timeout_s" if key == "io_timeout_s" else f"{section}.{key}"


def _cluster_settings(data: Mapping[str, Any], answers: Answers) -> ClusterSettings:
    try:
        return parse_cluster_settings(data, answers.source)
    except SettingsError as error:
        raise CommandError("; ".join(error.problems)) from error


def _sections(reader: Reader, data: object) -> dict[str, Mapping[Any, Any]]:
    top = reader.mapping(data, "")
    if top is None:
        return {}
    top = without_empty(top, _SECTIONS)
    reader.unknown_keys(top, list(_SECTIONS))
    found = {name: reader.mapping(top[name], name) for name in _SECTIONS if name in top}
    return {
        name: without_empty(section, _NESTED.get(name, ()))
        for name, section in found.items()
        if section is not None
    }


def _host(reader: Reader, section: Mapping[Any, Any]) -> dict[str, Any]:
    reader.unknown_keys(section, list(_HOST_KEYS), "host")
    given = {key: section[key] for key in _HOST_KEYS if key in section}
    whole = {"host_id": 1, "host_name": "placeholder", **given, "storage": _PLACEHOLDER_STORAGE}
    checked: list[HostSettings] = []
    source = f"{reader.source}: host"
    _collect(reader, lambda: checked.append(parse_host_settings(whole, source)))
    if checked and "command_users" in given:
        given["command_users"] = list(checked[0].command_users)
    if checked and "metrics" in given:
        given["metrics"] = checked[0].metrics
    return given


def _with_storage(storage: Mapping[Any, Any], source: str) -> HostSettings:
    whole = {"host_id": 1, "host_name": "placeholder", "storage": storage}
    return parse_host_settings(whole, source)


def _domain_xml_file(reader: Reader, engine: Optional[Mapping[Any, Any]]) -> Optional[str]:
    if engine is None:
        return None
    rules = {"domain_xml_file": _DOMAIN_XML_FILE}
    reader.unknown_keys(engine, [*rules, *_CLUSTER_ENGINE_KEYS], "engine")
    reader.required(engine, rules, "engine")
    found = reader.fields(engine, rules, "engine").get("domain_xml_file")
    return None if found is None else str(found)


def _cluster(
    reader: Reader, sections: Mapping[str, Mapping[Any, Any]]
) -> dict[str, dict[str, Any]]:
    cluster = {name: dict(sections[name]) for name in _CLUSTER_SECTIONS if name in sections}
    engine = sections.get("engine", {})
    given = {key: engine[key] for key in _CLUSTER_ENGINE_KEYS if key in engine}
    if given:
        cluster["engine"] = given
    rules: dict[str, Rule] = {"io_timeout_s": _IO_TIMEOUT}
    found = reader.section(sections.get("sanlock", {}), rules, "sanlock")
    if found:
        timing = cluster.setdefault("timing", {})
        if timing.get("io_timeout_s", found["io_timeout_s"]) != found["io_timeout_s"]:
            reader.problem("timing.io_timeout_s", "differs from sanlock.io_timeout_s; give it once")
        timing.update(found)
    return cluster


def _collect(reader: Reader, check: Any) -> None:
    try:
        check()
    except SettingsError as error:
        reader.problems.extend(error.problems)
