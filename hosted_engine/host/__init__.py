"""This host as the commands meet it: its settings, tools, services and deadlines."""
