"""A question, answered once: begin, finish, release, stop, recover."""
