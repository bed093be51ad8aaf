"""One answer for each question: begin, finish, release, stop and recover a turn."""
