"""One suite for the fakes and for the real storage and sanlock: so fakes can be trusted."""
