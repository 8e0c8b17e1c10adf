"""Trials on Ray: workers, gangs, the driver between Tune and the study."""

import gc
from importlib import import_module

# A worker imports for seconds before its first trial. That makes a million objects and no garbage, and
# looking for some among them took a third of the time; frozen, they are passed over from then on.
_collects = gc.isenabled()
gc.disable()
try:
    for _library in ("torch", "ray.tune", "mmsa.training"):
        import_module(_library)
    gc.freeze()
finally:
    if _collects:
        gc.enable()
