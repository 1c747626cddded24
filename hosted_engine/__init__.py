"""The administrator's command `hosted-engine`, one module per command."""
