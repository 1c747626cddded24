import re,glob
def sub(p,a,b,n=1):
    s=open(p).read()
    if a not in s: print('MISSING',p,a[:70]); return
    open(p,'w').write(s.replace(a,b,n))
p='ARCHITECTURE.md'
sub(p,''' storage bytes → records → snapshot → observation → decision → actions → VM and bytes
   metadata/wire  ha_broker/broker   ha_agent/collect  fsm/step   ha_agent/execute, publish
''',''' storage bytes → records → snapshot → observation → decision → actions → VM and bytes
  world/storage  metadata  ha_broker  ha_agent/        fsm       ha_agent/   world/vm,
                           (api/)     observation                actions,    world/storage
                                                                 publication
''')
s=open(p).read()
s=re.sub(r'is kept in\n`ha_agent/publication/recent_history.py` \(ADR 14\), and what this agent did and saw of all hosts in a history on disk\n\(`ha_agent/[a-z]+/`, written by a job; ADR 22\)\. None of it decides anything\.','is kept in\n`ha_agent/publication/recent_history.py` (ADR 14), and what this agent did and saw of all hosts in a\nhistory on disk (`ha_agent/history/`, written by a job; ADR 22). None of it decides anything.',s)
i=s.index('## The arrows'); j=s.index('One file each imports `sanlock`')
s=s[:i]+'''## The rooms, and the arrows between them

From the top to the bottom; an import points down, never up, and `fsm` and `world` stand beside each
other. Cores know the ports alone; adapters are built where a process begins.

| room | what is in it | may import of ours |
|---|---|---|
| `hosted_engine/` | the administrator's command. `cli/` what is typed and printed (`catalogue/` says what there is: parser, help, manual pages and completion come from it), `host/` this host, `cluster/` what is known of all; then a folder per command. `client.py`: what other programs on the host call | all below; of the broker its `api` alone |
| `simulation/` | whole hosts in virtual time (ADR 11); `world/` the simulated ports | all below |
| `ha_agent/` | `observation/` → `fsm` → `actions/`, `publication/`; `history/` what it did and saw, on disk | `fsm`, the broker's `api`, `world.ports`, `metadata` |
| `ha_broker/` | `storage/` the slots, `lockspace/` membership and the lease, `monitors/` what is measured (one small file each; plug-ins in processes of their own, ADR 12, 13), `events/` what happened to the cluster (pure), `notifications/` mails and webhooks, `metrics/` made on scrape, `server/` the socket, `cycle/` the round. `api/`: all that others may know of the broker | `world.ports`, `metadata` |
| `fsm/` | states, guards, table, score, step, diagram; pure | `metadata` |
| `world/` | `ports/` protocols and values; the real adapters: `storage/` (sanlock too), `vm/` (libvirt), `network/`, `host/` (threads live here) | `metadata` |
| `metadata/` | records, wire format, layout, shared configuration; `settings/`; pure | nothing |

Beside them: `compat/` the module names that oVirt's callers import, a distribution of its own (ADR 17);
`systemd/` units and tmpfiles; `lab/` real hosts on one machine, which knows nothing of ours and checks the
product from outside.

'''+s[j:]
k=s.index('## Invariants')
s=s[:k]+'''## Three walks

**A slot's bytes become a decision.** `world/storage/direct_store.py` reads them, in a job of
`ha_broker/storage/slot_io.py` that `ha_broker/storage/slot_reader.py` hands out; `metadata/wire.py` makes a
record of them; `ha_broker/storage/slot_table.py` keeps the last good one and when it changed;
`ha_broker/broker.py` puts all of it into a snapshot (`ha_broker/api/snapshot.py`), which
`ha_broker/server/mailbox.py` holds for `ha_broker/server/routes.py`. In the agent
`ha_agent/observation/broker_poller.py` fetches it through `ha_broker/api/client.py`;
`ha_agent/observation/collect.py` makes a peer of the record (`fsm/observation.py`); `fsm/step.py` remembers
what must be, asks the guards (`fsm/guards.py`) row by row (`fsm/table.py`), and says what is to be done.

**A request for global maintenance.** `hosted_engine/vm/maintenance.py` asks through
`ha_broker/api/client.py`; `ha_broker/server/routes.py` lays the request into `ha_broker/server/mailbox.py`;
`ha_broker/broker.py` gives it to `ha_broker/storage/global_maintenance.py`, which writes slot 0 and reads it
back (`ha_broker/storage/slot_io.py`) before the command hears that it is done. The other hosts read slot 0
with `ha_broker/storage/slot_reader.py`; their agents see it in the snapshot, and the guard
`in_global_maintenance` of `fsm/guards.py` fires.

**A monitor's value becomes a score.** `ha_broker/monitors/memory.py` says what to measure;
`ha_broker/monitors/base.py` has it measured by a job (`world/host/host_vitals.py`) and keeps the value until
it is too old; it stands in the snapshot as a `MonitorView`. `ha_agent/observation/collect.py` takes it as the
host's condition, `fsm/score.py` makes a penalty of it by the weights of `metadata/settings/`, and
`ha_agent/publication/publish.py` puts the score into this host's record.

## Where do I add …

- *a monitor*: a small class in `ha_broker/monitors/` (as `memory.py`), one line in `ha_broker/broker.py` where
  the others are made, its port in `world/ports/host.py` with the real adapter in `world/host/` and the
  simulated one in `simulation/world/`; a simulator's verb in `hosted_engine/simulate/grammar.py`.
- *a penalty*: a function in `fsm/score.py` and its weight in `metadata/settings/values.py` with its bounds in
  `metadata/settings/parse.py`; the condition it needs in `fsm/observation.py` and
  `ha_agent/observation/collect.py`.
- *a state*: the enumeration in `fsm/states.py`, its rows in `fsm/table.py`, new guards in `fsm/guards.py`, what
  it says in `ha_agent/publication/publish.py`; then `python -m fsm.diagram --write docs/states.md`, and the
  model in `tests/fsm/model` explores it.
- *a command*: its line in `hosted_engine/cli/catalogue/`, a folder with what it does, and
  `python -m hosted_engine.cli.generated docs` for manual page and completion.

'''+s[k:]
s=s.replace(''' agents and brokers     simulation   simulated''',''' agents and brokers     simulation            simulated''')
s=re.sub(r' agents and brokers     (ha_agent/)?simulation +simulated',' agents and brokers     simulation            simulated',s)
open(p,'w').write(s)
open('docs/adr/0038-rooms-that-one-can-read-from-outside.md','w').write('''# 38. Rooms that one can read from outside

**Context.** `ha_agent/` held more than half of the code, though the agent is a small part of it: the
administrator's command and the simulation lived inside it, and the ports and adapters that both daemons use
inside the broker. Forty loose files in `ha_broker/` hid the stages of the way, and many names were the
project's own where the field has a term.

**Decision.** Seven rooms, one above the other: `hosted_engine`, `simulation`, `ha_agent`, `ha_broker`, `fsm`
beside `world`, `metadata`. Imports point down only; of the broker others know `ha_broker.api`; cores import
`world.ports`, and adapters are built where a process begins (`main`, `adapters`, `running`, `leave`).
`tests/unit/test_tidy.py` holds it, file by file, with the few exceptions by name (who holds a socket or a
file of its own). Names follow the field: mailbox, change log, notification sender, slot table, slot reader,
membership, reporter election, debounced, cluster state, counters, narrator, pending commands.

What one name meant twice or three times is told apart: `HostLife`, `DomainLife`, `SignOfLife`; `ScriptLine`,
`LifecycleEvent`, `Event`; `VolumeLook`, `StorageLook`, `LockspaceLook`; `DomainReading`, `Measurement`.

**How the move was made.** By a list of old and new paths and names that a program carried out on the syntax
trees (imports, attributes, annotations, dotted names and paths in texts), so that no line of what the code
does was typed anew; the types were checked strictly after each step. That nothing behaves differently is
shown by the same seeds before and after, compared event by event (the digest that `python -m tests.sim`
prints per seed covers the whole log), and by all scenarios, whose logs did not change.

**Not done yet.** One view of a host instead of ten shapes; state names in `metadata`; one reader of the
slots and one watcher for life; monitors to penalties without names in texts; libraries instead of our own
generators and tables; fewer one-caller functions.
''')
