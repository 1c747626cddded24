# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Draws the table: a mermaid state diagram and a page that lists every row.

Run ``hosted-engine-fsm --write docs/states.md`` to refresh the committed page,
``--check docs/states.md`` to find out whether it is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from fsm.table import TABLE, Row, rows_of
from metadata.error_words import reason_with_file
from metadata.states import SENTENCE, State

# Rows that nearly every state has would hide all others in the picture.
_EVERYWHERE = frozenset(
    {State.AGENT_STOPPED, State.UNKNOWN_LOCAL_VM_STATE, State.GLOBAL_MAINTENANCE,
     State.LOCAL_MAINTENANCE}
)  # fmt: skip


def mermaid() -> str:
    """The diagram's source: one arrow per pair of states, labelled with the guards.

    The arrows into maintenance, UnknownLocalVmState and AgentStopped, which start in nearly
    every state, are left to the tables below the picture.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {State.START_STATE.value}"]
    for source, target in _pairs():
        labels = [row.label for row in rows_of(source) if row.target is target]
        lines.append(f"    {source.value} --> {target.value}: {_shorten(labels)}")
    lines += [f"    {state.value} --> [*]" for state in (State.AGENT_STOPPED,)]
    return "\n".join(lines) + "\n"


def _pairs() -> list[tuple[State, State]]:
    pairs = [
        (row.source, row.target)
        for row in TABLE
        if not row.keeps_state and row.target not in _EVERYWHERE
    ]
    return list(dict.fromkeys(pairs))


def _shorten(labels: list[str]) -> str:
    return " / ".join(label.replace(", ", " & ") for label in labels)


def page() -> str:
    """The whole page in Markdown."""
    return "\n".join([*_head(), "```mermaid", mermaid() + "```", "", *_state_sections()])


def _head() -> list[str]:
    return [
        "# The states of the agent",
        "",
        "Generated from `fsm/table.py` by `hosted-engine-fsm --write docs/states.md`.",
        "In each state the first row fires whose guards all hold. The picture leaves out the",
        "arrows into maintenance, UnknownLocalVmState and AgentStopped; the tables have them.",
        "",
    ]


def _state_sections() -> Iterator[str]:
    for state in State:
        yield f"## {state.value}"
        yield ""
        yield SENTENCE[state]
        yield ""
        yield "| when | goes to | does | why |"
        yield "|---|---|---|---|"
        yield from (_table_line(row) for row in rows_of(state))
        yield ""


def _table_line(row: Row) -> str:
    target = "(stays)" if row.keeps_state else row.target.value
    does = ", ".join([action.value for action in row.actions] + [note.value for note in row.notes])
    return f"| {row.label} | {target} | {does} | {row.why} |"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print, write or check the page. Returns 0, or 1 when the checked page is stale."""
    parser = argparse.ArgumentParser(
        prog="hosted-engine-fsm", description="Draw the agent's state machine from its table."
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--write", metavar="FILE", type=Path, help="write the page to FILE")
    where.add_argument("--check", metavar="FILE", type=Path, help="fail when FILE is stale")
    where.add_argument("--mermaid", action="store_true", help="print only the diagram")
    options = parser.parse_args(argv)
    try:
        return _run(options)
    except OSError as error:
        print(f"hosted-engine-fsm: {reason_with_file(error)}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.write:
        options.write.write_text(page(), encoding="utf-8")
        return 0
    if options.check:
        stale = options.check.read_text(encoding="utf-8") != page()
        if stale:
            print(f"{options.check} is stale: run hosted-engine-fsm --write", file=sys.stderr)
        return int(stale)
    print(mermaid() if options.mermaid else page(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
