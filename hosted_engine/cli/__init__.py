"""What is typed and what is printed: the catalogue, its parser, waiting, terminals."""
