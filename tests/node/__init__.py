"""What real clients make of our streams: the AI SDK's own code, versions 5, 6 and 7."""
