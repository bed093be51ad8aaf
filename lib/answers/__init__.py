"""Answers in the making: made here, or followed where another process makes them.

The modules with an underscore are imported with the first message: they import `openai`.
"""
