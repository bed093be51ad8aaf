"""The provider's own additions to an answer: sources that it cites, and tools that it runs."""
