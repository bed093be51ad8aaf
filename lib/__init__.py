"""What the functions of `api/` share. `api` imports `lib`, never the reverse."""

import gc

__version__ = "0.1.0"
# Modules and streams consist of many objects, and of hardly any cycles. By Python's own thresholds
# the search for some took an eighth of the processor time of 400 streams, and each search of all
# (240,000 objects) kept all of them waiting for 145 ms. So it is rarer, and what is imported is not
# searched again (`gc.freeze`, lib/functions.py and lib/runtime/imports.py).
gc.set_threshold(50_000, 20, 50)
