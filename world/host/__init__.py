"""Real adapters: clocks, threads, systemd, vitals and plug-ins of this host."""
