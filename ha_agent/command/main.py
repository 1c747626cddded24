"""``hosted-engine``: the administrator's command.

Each command lives in a module of its own that is imported only when it is asked for, so that
``--vm-status``, which monitoring calls all the time, stays light. Exit codes: 0 done, 1 could
not be done, 2 wrong options. Errors are one line on stderr; with ``--json`` one JSON document
on stdout instead, and nothing else anywhere.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Callable, NoReturn, Optional

from ha_agent.command.errors import (
    EXIT_FAILURE,
    EXIT_USAGE,
    PROGRAM,
    CommandError,
    NotDeployedError,
    UsageError,
    say_error,
)

# Options that belong to some commands only: dest, option, the commands' dests.
_BELONGS = (
    ("json", "--json", ("vm_status", "explain")),
    ("metadata", "--metadata", ("vm_status",)),
    ("timeout", "--timeout", ("vm_status", "explain")),
    ("mode", "--mode", ("set_maintenance",)),
    ("config_append", "--config-append", ("deploy",)),
    ("force", "--force", ("deploy",)),
)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name in another host's record must not fail on this terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _answer(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where its failure can still be told
    except OSError as error:
        _lose_output(error)
        return EXIT_FAILURE
    return code


def _answer(arguments: list[str]) -> int:
    """The exit code, its reason told; raises OSError when the output can't be written."""
    try:
        return _run(_parse(arguments))
    except CommandError as error:
        _report(error, "--json" in arguments)
        return error.exit_code
    except SystemExit as done:  # argparse's way out of --help
        return int(done.code or 0)
    except KeyboardInterrupt:
        _report(CommandError("interrupted"), "--json" in arguments)
        return EXIT_FAILURE
    except BrokenPipeError:
        raise
    except OSError as error:  # the system refused something: its words, no bug of ours
        _report(CommandError(str(error)), "--json" in arguments)
        return EXIT_FAILURE
    except Exception as error:  # a bug: still one line, or one document
        _report(CommandError(_bug_text(error)), "--json" in arguments)
        return EXIT_FAILURE


def _lose_output(error: OSError) -> None:
    """Nobody reads our output any more, or the disk that it goes to is full."""
    with suppress(OSError):  # what is left in the buffer must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return  # there is nobody to tell
    with suppress(OSError):
        say_error(f"the output can't be written: {error.strerror or error}")


def _bug_text(error: Exception) -> str:
    """Enough to find the place; a traceback would tell administrators nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace else None
    place = f" ({code.co_filename}:{trace.tb_lineno})" if code and trace else ""
    return f"unexpected {type(error).__name__}: {error}{place}; this is a bug, please report it"


def _parse(arguments: list[str]) -> argparse.Namespace:
    options = _parser().parse_args(arguments)
    for dest, option, commands in _BELONGS:
        value = getattr(options, dest)
        given = value is not None and value is not False  # 0 seconds are given
        if given and not any(getattr(options, command) for command in commands):
            names = " or ".join(f"--{command.replace('_', '-')}" for command in commands)
            raise UsageError(f"{option} goes with {names} only")
    return options


def _run(options: argparse.Namespace) -> int:
    for dest, command in _COMMANDS.items():
        if getattr(options, dest):
            return command(options)
    raise UsageError("say what to do; see hosted-engine --help")


def _report(error: CommandError, as_json: bool) -> None:
    if as_json:
        from ha_agent.command.status import error_json

        print(error_json(error.message))
    elif isinstance(error, NotDeployedError):
        print(error.message)  # on stdout, where scripts have always found it
    else:
        say_error(error.message)


# --- the commands -------------------------------------------------------------------------


def _vm_status(options: argparse.Namespace) -> int:
    from ha_agent.command import vm_status

    return vm_status.run(options.json, options.metadata, options.timeout)


def _explain(options: argparse.Namespace) -> int:
    from ha_agent.command import explain

    return explain.run(options.json, options.timeout)


def _set_maintenance(options: argparse.Namespace) -> int:
    from ha_agent.command import maintenance

    if options.mode is None:
        raise UsageError("--set-maintenance needs --mode=global, --mode=local or --mode=none")
    return maintenance.run(options.mode)


def _vm_start(_: argparse.Namespace) -> int:
    from ha_agent.command import engine

    return engine.run_start()


def _vm_shutdown(_: argparse.Namespace) -> int:
    from ha_agent.command import engine

    return engine.run_stop(graceful=True)


def _vm_poweroff(_: argparse.Namespace) -> int:
    from ha_agent.command import engine

    return engine.run_stop(graceful=False)


def _check_deployed(_: argparse.Namespace) -> int:
    from ha_agent.command import checks

    return checks.deployed()


def _check_liveliness(_: argparse.Namespace) -> int:
    from ha_agent.command import checks

    return checks.liveliness()


def _deploy(options: argparse.Namespace) -> int:
    from ha_agent.command import deploy

    if options.config_append is None:
        raise UsageError("--deploy needs --config-append=FILE with the answers (YAML)")
    return deploy.run(options.config_append, options.force)


def _test_notification(_: argparse.Namespace) -> int:
    from ha_agent.command import notification

    return notification.run()


def _simulate(options: argparse.Namespace) -> int:
    from ha_agent.command import simulate

    return simulate.run(*options.simulate)


def _version(_: argparse.Namespace) -> int:
    from importlib import metadata as packages

    try:
        print(f"{PROGRAM} {packages.version('hosted-engine-ha')}")
    except packages.PackageNotFoundError:
        print(f"{PROGRAM} (not installed as a package)")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "vm_status": _vm_status,
    "explain": _explain,
    "set_maintenance": _set_maintenance,
    "vm_start": _vm_start,
    "vm_shutdown": _vm_shutdown,
    "vm_poweroff": _vm_poweroff,
    "check_deployed": _check_deployed,
    "check_liveliness": _check_liveliness,
    "deploy": _deploy,
    "test_notification": _test_notification,
    "simulate": _simulate,
    "version": _version,
}


# --- the options --------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {PROGRAM} --help)")


class _Once(argparse.Action):
    """A value that is not silently replaced by a second one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: Optional[str] = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string}: given twice")
        setattr(namespace, self.dest, values)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is refused; allowed: seconds from 0 to 3600")
    return value


def _path(text: str) -> str:
    """A variable that a script forgot to set must not mean something else."""
    if not text:
        raise argparse.ArgumentTypeError(f"{text!r} is refused; allowed: a path")
    return text


def _parser() -> _Parser:
    parser = _Parser(
        prog=PROGRAM,
        description="Look after the engine virtual machine and the hosts that keep it running.",
        epilog=f"Exit codes: 0 done, {EXIT_FAILURE} could not be done, {EXIT_USAGE} wrong options.",
        allow_abbrev=False,
    )
    _add_commands(parser)
    _add_details(parser)
    return parser


def _add_commands(parser: _Parser) -> None:
    commands = parser.add_argument_group("commands (one of them)").add_mutually_exclusive_group()
    for option, text in (
        ("--vm-status", "show the engine and all hosts"),
        ("--explain", "say in plain words why the engine runs where it runs, or why nowhere"),
        ("--set-maintenance", "switch maintenance (with --mode)"),
        ("--vm-start", "start the engine's VM on this host"),
        ("--vm-shutdown", "ask the engine's VM on this host to power off"),
        ("--vm-poweroff", "switch the engine's VM on this host off at once"),
        ("--check-deployed", "exit code 0 when this host is deployed, else 1"),
        ("--check-liveliness", "ask the engine's health page; exit code 0 when it is up"),
        ("--deploy", "make this host one of the cluster (with --config-append)"),
        ("--test-notification", "send a test to every mail server and webhook of the settings"),
        ("--version", "show the version"),
    ):
        commands.add_argument(option, action="store_true", help=text)
    commands.add_argument(
        "--simulate",
        nargs=2,
        action=_Once,
        type=_path,
        metavar=("WORLD", "SCRIPT"),
        help="tell what would happen: simulated hosts (WORLD, YAML), and what is done to them "
        "(SCRIPT, YAML)",
    )


def _add_details(parser: _Parser) -> None:
    status = parser.add_argument_group("with --vm-status or --explain")
    status.add_argument("--json", action="store_true", help="one line of JSON, errors too")
    status.add_argument(
        "--metadata",
        action=_Once,
        type=_path,
        metavar="PATH[:OFFSET]",
        help="with --vm-status only: read the volume itself, with no daemon; OFFSET is where the "
        "metadata area begins, in bytes or with K, M, G (default: the usual place behind a sanlock "
        "lockspace, else 0)",
    )
    status.add_argument(
        "--timeout",
        action=_Once,
        type=_seconds,
        metavar="S",
        help="wait this long for the broker (default 5), or watch the volume for this long to "
        "tell live records from old ones (default 11; 0: one look)",
    )
    maintenance = parser.add_argument_group("with --set-maintenance")
    maintenance.add_argument(
        "--mode",
        action=_Once,
        choices=("global", "local", "none"),
        help="global: nobody touches the engine; local: this host runs no engine; none: end both",
    )
    deploy = parser.add_argument_group("with --deploy")
    deploy.add_argument(
        "--config-append", action=_Once, type=_path, metavar="FILE", help="the answers, in YAML"
    )
    deploy.add_argument(
        "--force", action="store_true", help="format storage anew that is already in use"
    )


if __name__ == "__main__":
    sys.exit(main())
