"""The agent: collects, decides by `fsm.step`, publishes, acts; and the `hosted-engine` command."""
