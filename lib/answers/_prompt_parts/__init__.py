"""Parts of the prompt: marked blocks, changes between questions, old results, their tokens."""
