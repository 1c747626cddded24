set -e
S="python3 moves/symbols.py ."
RUFF="ruff check --fix -q --select F401,I,F811,E303,W ."
P=world.ports.host
$S $P world.ports.jobs "Time, and work that may hang." T Clock Outcome Runner
$S $P world.ports.storage "The shared volume." BlockStore
$S $P world.ports.sanlock "sanlock: who lives, who is a member, who owns the engine's lease." Liveness LockspaceHost Renewal LeaseOwner HostPlace Membership Lockspace LockspaceOnStorage LeaseOnStorage WriterLock LockspaceAdmin
$S $P world.ports.libvirt "libvirt: the engine's domain." DomainState Ending Domain EngineCpu Hypervisor MeasuredHypervisor AdministeredHypervisor
$S $P world.ports.network "The engine's page, and this host's network." HealthReading HealthPage NetworkProbe
$S $P world.ports.notifications "Mail servers and webhooks." DeliveryError Letter RefusedRecipient Receipt Courier
$S $P world.ports.plugins "Monitors that somebody else has written." PLUGIN_START_S PluginWord Plugin PluginMaker
$S ha_broker.server.mailbox ha_broker.api.trial "What a test of the notifications found." TrialResult TrialAnswer
$S ha_agent.ports ha_agent.history.entry "x" HistoryStore
$S hosted_engine.history.command hosted_engine.history.selection "Which changes of the history are wanted, and what is there." Wanted load selected host_named READ_DEADLINE_S
$S ha_broker.cycle.part ha_broker.cycle.task "Jobs of a part: one at a time, at their hour, and given up when they hang." HarvestedRunner Task EARLY_S LATE_S _later
