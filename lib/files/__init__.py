"""Files: which kinds a message may have, and the checks of their bytes."""
