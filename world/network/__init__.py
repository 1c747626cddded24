"""Real adapters: pages, probes, name servers, mail and sockets with a deadline."""
