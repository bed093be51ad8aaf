"""Files of messages: their kinds and checks; stored once for their owner, and served by link."""
