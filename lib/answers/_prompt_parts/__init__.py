"""Parts of the prompt: marked blocks, what changes between questions, and old results of tools."""
