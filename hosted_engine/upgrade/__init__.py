"""Whether this host may be upgraded now (``--upgrade-check``)."""
