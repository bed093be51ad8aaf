"""What people would use instead, each driven as its own documentation has it.

These modules run in `.venv-bench`, where bench/peers/requirements.txt is installed, and never
together with the product's own packages.
"""
