# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine``: the administrator's command.

The catalogue says what the commands are called; each lives in a module of its own that is
imported only when it is asked for, so that ``--vm-status``, which monitoring calls all the
time, stays light. The exit codes are those of `errors.EXIT_CODES`. Errors are one
line on stderr; with ``--json`` one JSON document on stdout instead, and nothing else anywhere.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Optional

from hosted_engine.cli.parser import parse
from hosted_engine.errors import EXIT_FAILURE, EXIT_OK, CommandError, NotDeployedError, say_error
from hosted_engine.host.alone import this_is_a_command
from metadata.error_words import reason, reason_with_file


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit code. Without `argv` this process is the command's own."""
    if argv is None:
        this_is_a_command()
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
        return _run(arguments)
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
        _report(CommandError(reason_with_file(error)), "--json" in arguments)
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
        say_error(f"the output can't be written: {reason(error)}")


def _bug_text(error: Exception) -> str:
    """Enough to find the place; a traceback would tell administrators nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code if trace else None
    place = f" ({code.co_filename}:{trace.tb_lineno})" if code and trace else ""
    return f"unexpected {type(error).__name__}: {error}{place}; this is a bug, please report it"


def _run(arguments: list[str]) -> int:
    if not arguments:  # nothing was done, and what can be is what people look for
        print(parse(["--help"]))
        return EXIT_FAILURE
    asked = parse(arguments)
    if isinstance(asked, str):
        print(asked)
        return EXIT_OK
    if not asked.command.anybody:
        from hosted_engine.host.rights import check_right

        check_right(asked.command.name)
    module, _, function = asked.command.run.partition(":")
    code: int = getattr(importlib.import_module(module), function)(asked.options)
    return code


def _report(error: CommandError, as_json: bool) -> None:
    if as_json:
        from hosted_engine.cluster.cluster_status import error_json

        print(error_json(error.message))
    elif isinstance(error, NotDeployedError):
        print(error.message)  # on stdout, where scripts have always found it
    else:
        say_error(error.message)


if __name__ == "__main__":
    sys.exit(main())
