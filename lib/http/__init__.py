"""Requests in, responses out: query strings, bodies, ids, cursors, JSON."""
