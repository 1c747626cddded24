"""What is measured on this host, one small part each."""
