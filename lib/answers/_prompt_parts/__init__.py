"""Parts of the prompt: marked blocks, what changes between questions, results, and their tokens."""
