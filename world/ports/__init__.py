"""The one port to the world: protocols in `ports`, their real adapters beside it.

Both daemons reach clock, storage, lockspace, libvirt, network and processes only through
these protocols, so a cycle can be driven step by step, without a thread or a sleep.
Threads live here and nowhere else.
"""
