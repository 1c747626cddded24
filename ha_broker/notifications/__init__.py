"""Telling people what happened: what they want to know, in which words, and getting it there."""
