"""Answers in the making: made by this process, or followed where another process makes them.

The modules with an underscore are imported with the first message, because they import `openai`.
"""
