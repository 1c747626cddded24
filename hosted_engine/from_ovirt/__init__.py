"""``--import-ovirt``: what oVirt's own hosted-engine tools have left, as answers and domain XML."""
