# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Could the other hosts' libvirt bring the engine here alive, by the address that they will use?

Nothing is moved. The certificates are looked at first, for libvirt's own words name no file; then
this host's libvirt is asked by its address, as another host would ask it.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from hosted_engine.deploy.check_input import Subject
from hosted_engine.deploy.findings import Finding, ok, warn
from hosted_engine.host.deadline import LIBVIRT_DEADLINE_S, within_deadline
from hosted_engine.host.libvirt_unit import MODULAR, MONOLITHIC, libvirt_hint
from metadata.records import HostRecord
from metadata.settings.migration import address_on
from metadata.settings.parse import EngineSettings
from world.ports.certificates import CertificateFiles, Use

PAGE = "docs/migration.md"
AUTHORITY = "/etc/pki/CA/cacert.pem"
SERVER = CertificateFiles(
    "/etc/pki/libvirt/servercert.pem", "/etc/pki/libvirt/private/serverkey.pem", AUTHORITY
)
CLIENT = CertificateFiles(
    "/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem", AUTHORITY
)
_QEMU_FOLDER, _MIGRATION_FOLDER = "/etc/pki/qemu", "/etc/pki/libvirt-migrate"
# The daemon that other hosts reach, by the one that has the VMs.
_LISTENING = {MODULAR: "virtproxyd", MONOLITHIC: MONOLITHIC}


def check_migration(subject: Subject) -> Finding:
    """This host's libvirt is reached at its migration address, and by whom it should alone."""
    uri = subject.cluster.migration.uri
    scheme = urlsplit(uri).scheme
    by_tls = scheme.endswith("+tls")
    problem = next(filter(None, _certificate_problems(subject, by_tls)), "")
    if problem:
        mend = f"{PAGE} says how they are made and where they belong"
        return _warning(subject, problem, mend)
    address = address_on(uri, _reached_at(subject))
    libvirt = subject.world.hypervisor(subject.libvirt_uri, EngineSettings.domain_name)
    why = within_deadline(
        lambda: libvirt.not_reached_why(address), libvirt_hint(), LIBVIRT_DEADLINE_S
    )
    if why:
        return _warning(subject, why, *_reaching(subject, scheme))
    if scheme.endswith("+tcp"):
        return warn(
            f"{address} answers, and is open to whoever reaches its port, who is root here with it",
            f"in production: migration.uri with qemu+tls, see {PAGE}",
        )
    told = f"{address} answers"
    if by_tls:
        look = subject.world.probes.certificates().look(_server_files(subject), Use.SERVER)
        told += f"; its certificate is good until {look.ends}" if look.ends else ""
    if not subject.cluster.migration.encrypt:
        told += "; the engine's memory goes over the network in clear (migration.encrypt is false)"
    return ok(told)


def _warning(subject: Subject, problem: str, *mend: str) -> Finding:
    """No more than that: such a host is a full member of the cluster, but for moves alive."""
    told = f"{problem}: the engine can't be moved here alive"
    if _is_alone(subject):
        told += ", which matters once there is another host"
    return warn(told, *mend)


def _is_alone(subject: Subject) -> bool:
    if subject.answers.creates or subject.look.survey is None:
        return True
    own_id = subject.deployed.host_id if subject.deployed is not None else None
    slots = subject.look.survey.slots
    return not any(
        isinstance(record, HostRecord) and host_id != own_id for host_id, record in slots.items()
    )


def _reached_at(subject: Subject) -> str:
    """As `HostSettings.reached_at` will be."""
    name = subject.own("host_name", subject.world.host_name)
    return subject.own("migration_address", name)


# --- certificates -----------------------------------------------------------------------------


def _certificate_problems(subject: Subject, by_tls: bool) -> Iterator[str]:
    """Sentences, the first of which is told."""
    look = subject.world.probes.certificates().look
    if by_tls:
        daemon = _listening(subject)
        settings = subject.world.probes.libvirt_settings(daemon)
        if settings.get("tls_no_verify_certificate", "0") != "0":
            yield f"/etc/libvirt/{daemon}.conf has tls_no_verify_certificate: anybody may come in"
        yield look(_server_files(subject), Use.SERVER, _reached_at(subject)).problem
        yield look(CLIENT, Use.CLIENT).problem
    if subject.cluster.migration.encrypt:
        for use in Use:
            problem = look(*_of_qemu(subject, use)).problem
            yield f"migration.encrypt: {problem}" if problem else ""


def _server_files(subject: Subject) -> CertificateFiles:
    """Where libvirt's daemon has been told to find its own; the client has no such settings."""
    given = subject.world.probes.libvirt_settings(_listening(subject))
    return CertificateFiles(
        given.get("cert_file", SERVER.certificate),
        given.get("key_file", SERVER.key),
        given.get("ca_file", SERVER.authority),
    )


def _of_qemu(subject: Subject, use: Use) -> tuple[CertificateFiles, Use, str]:
    """qemu's for the memory, looked for as libvirt does, and the name in a server's.

    Where qemu.conf names none, libvirt tells the source the host's name, as the system has it.
    """
    given = subject.world.probes.libvirt_settings("qemu")
    usual = _MIGRATION_FOLDER
    if subject.world.probes.is_missing(usual):
        usual = given.get("default_tls_x509_cert_dir", _QEMU_FOLDER)
    folder = given.get("migrate_tls_x509_cert_dir", usual)
    names = (f"{use.value}-cert.pem", f"{use.value}-key.pem", "ca-cert.pem")
    files = CertificateFiles(*(f"{folder}/{name}" for name in names))
    return files, use, given.get("migration_host", "") if use is Use.SERVER else ""


def _listening(subject: Subject) -> str:
    return _LISTENING.get(subject.world.probes.libvirt_unit(), MONOLITHIC)


# --- asking -------------------------------------------------------------------------------------


def _reaching(subject: Subject, scheme: str) -> tuple[str, ...]:
    reached_at = _reached_at(subject)
    names = f"{reached_at} must be this host's, in the DNS or /etc/hosts; else give it another "
    if not scheme.endswith(("+tls", "+tcp")):
        return (f"{names}host.migration_address",)
    unit, daemon = f"{_listening(subject)}-{scheme.rpartition('+')[2]}.socket", _listening(subject)
    return (
        f"systemctl stop {daemon}.service; systemctl enable --now {unit}; "
        f"systemctl start {daemon}.service (VMs run on meanwhile)",
        f"{names}host.migration_address",
        f"a certificate is read when {daemon} starts: systemctl restart {daemon}",
    )
