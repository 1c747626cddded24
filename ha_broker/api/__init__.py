"""What others may know of the broker; nothing else of it is imported from outside."""
