"""The tool calls of an answer: assembled from the pieces of a reply, and run."""
