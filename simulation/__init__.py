"""Whole hosts in virtual time: the real agents and brokers over a simulated world.

Serves ``hosted-engine --simulate``, the scenarios and the random search. Nothing in here is
imported by the daemons.
"""
