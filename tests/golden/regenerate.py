"""Write ``losses.json`` anew: ``python tests/golden/regenerate.py``. The commit says why it changed."""

from __future__ import annotations

import torch
from golden_losses import FILE, record

if __name__ == "__main__":
    torch.set_num_threads(1)
    record()
    print(f"wrote {FILE}")
