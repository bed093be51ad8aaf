"""Summaries: what the messages before the window say, so that the model forgets nothing silently.

A summary is made after an answer was stored and sent, a turn before messages leave the window: the
next question does not wait for it. The turn is given back by then, so the attempt holds a claim of
its own (sql/queries/turns/claim_summary.sql). One that fails, or whose function is killed, is made
by the next turn. Where messages are neither told nor summarized, and where a conversation is too
long for its model, the answer waits for a summary, for a bounded time.

It is made of the earlier summary and of the messages since, and stands beside it: so an edit in the
middle takes away only the summaries that tell the replaced messages.
"""
