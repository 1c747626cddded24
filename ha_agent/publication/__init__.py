"""What the agent tells: its record, its log and its latest history."""
