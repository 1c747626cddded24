"""The broker's round: parts that want to be run, and the work they wait for."""
