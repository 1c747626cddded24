def sub(p,a,b,n=1):
    s=open(p).read()
    if a not in s: print('MISSING',p,a[:70]); return
    open(p,'w').write(s.replace(a,b,n))
sub('hosted_engine/host/anew.py','rpartition("/ha_agent/")','rpartition("/hosted_engine/")')
sub('tests/unit/test_command_alone.py','from hosted_engine import alone\n','from hosted_engine.host import alone\n')
sub('tests/unit/test_command_apart.py','from hosted_engine import apart\n','from hosted_engine.host import apart\n')
s=open('tests/unit/test_command_anew.py').read()
s=s.replace('from hosted_engine import anew\n','from hosted_engine.host import anew\n')
s=s.replace('watched = ("ha_agent", "ha_broker", "metadata", "subprocess", "http")','watched = ("hosted_engine", "ha_agent", "ha_broker", "world", "metadata", "subprocess", "http")')
s=s.replace('''    ours = {"ha_agent", "hosted_engine", "ha_broker", "world.ports", "metadata"}
    ours |= {f"hosted_engine.{name}" for name in ("alone", "anew", "apart", "errors")}
    ours |= {f"world.ports.{name}" for name in ("direct_store", "errors")}
    assert set(done.stdout.split()) == ours | {"metadata.records"}
''','''    ours = {"hosted_engine", "hosted_engine.errors", "hosted_engine.host", "metadata"}
    ours |= {f"hosted_engine.host.{name}" for name in ("alone", "anew", "apart")}
    ours |= {"world", "world.ports", "world.ports.errors"}
    ours |= {"world.storage", "world.storage.direct_store"}
    assert set(done.stdout.split()) == ours | {"metadata.records"}
''')
open('tests/unit/test_command_anew.py','w').write(s)
sub('tests/integration/test_compat.py','{"metadata", "fsm", "ha_broker", "ha_agent"}','set(PACKAGES)')
sub('tests/integration/test_compat.py','\n\n@pytest.fixture(scope="module")\ndef python(','\nPACKAGES = ("metadata", "world", "fsm", "ha_broker", "ha_agent", "simulation", "hosted_engine")\n\n\n@pytest.fixture(scope="module")\ndef python(')
sub('tests/integration/test_export_status.py','trap = tmp_path / "ha_agent"','trap = tmp_path / "hosted_engine"')
sub('hosted_engine/cli/generated/programs.py','writes them; what is kept in docs/ is what it wrote.','writes them; what is\nkept in docs/ is what it wrote.')
sub('hosted_engine/storage/connect.py','''(`metadata.settings.storage_connection`), `connection_plan` which
command lines that takes; here they are run, each with a deadline, and their words passed on.''','''(`metadata.settings.storage_connection`),
`connection_plan` which command lines that takes; here they are run, each with a deadline, and
their words passed on.''')
sub('hosted_engine/support_archive/subprocess_main.py','broker|shared-config``; prints JSON.','broker|shared-config``; prints\nJSON.')
sub('tests/fsm/model/moves.py','''see to it that it comes before the lease is free. An
    agent that is dead, stopped or cut off from libvirt does nothing: there the watchdog under
    sanlock resets the host''','''see to it that it comes before the lease is
    free. An agent that is dead, stopped or cut off from libvirt does nothing: there the watchdog
    under sanlock resets the host''')
sub('tests/unit/test_command_explain.py','# For each reason of `ha_agent.observation.collect`: what the broker shows then, and what must be told of it.','# For each reason of `ha_agent.observation.collect`: what the broker shows then, and what must be\n# told of it.')
sub('tests/unit/test_history_plot.py','''        entry(0, AgentStarted(7, long)), entry(0, lease(7)), entry(60, lease(None)), entry(3600, Alive())
    ]  # fmt: skip''','''        *(entry(0, AgentStarted(7, long)), entry(0, lease(7)), entry(60, lease(None))),
        entry(3600, Alive()),
    ]''')
s=open('tests/unit/test_chronicle.py').read()
s=s.replace('monkeypatch.setattr(store, "_TAIL_BYTES"','monkeypatch.setattr(history_store, "_TAIL_BYTES"')
s=s.replace('from ha_agent.history import store\n','from ha_agent.history import store as history_store\n')
open('tests/unit/test_chronicle.py','w').write(s)
s=open('tests/unit/test_chronicle.py').read()
if 'store as history_store' not in s: s=s.replace('from ha_agent.history.entry import (','from ha_agent.history import store as history_store\nfrom ha_agent.history.entry import (',1)
open('tests/unit/test_chronicle.py','w').write(s)
sub('tests/unit/test_command_anew.py','from hosted_engine import anew, apart\n','from hosted_engine.host import anew, apart\n')
sub('tests/unit/test_command_deploy_run.py','''        for module in ("files", "next"):''','''        for module in ("host.settings_file", "deploy.next_host_answers"):''')
sub('tests/unit/test_command_deploy_run.py','''hosted_engine.deploy.{module}''','''hosted_engine.{module}''')
