"""Arrays that stay on the disk: mapped when they are asked for, in memory that all who map them share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.errors import DataError


@dataclass(frozen=True, eq=False)
class MappedFile:
    """Frames of one modality in an npy file, and what is known of them without reading them.

    Attributes:
        path: absolute path of the file.
        shape: (L, D) of the float32 values.
        start: where in the file they begin, in bytes.
        mean: (D,) float32 over all frames, as ``FeatureInput`` has it; None where it is not known.
        scale: (D,) likewise.
    """

    path: str
    shape: tuple[int, int]
    start: int
    mean: NDArray[np.float32] | None = None
    scale: NDArray[np.float32] | None = None

    def open(self) -> NDArray[np.float32]:
        """The values, (L, D), read-only; nothing is read before a value is used.

        Raises:
            DataError: for a file that is not there, or has another size than when it was described.
        """
        path, end = Path(self.path), self.start + 4 * math.prod(self.shape)
        try:
            size = path.stat().st_size
        except OSError:
            raise DataError(
                f"{path}: is not on this machine; a store must lie where every machine of a search sees it"
            ) from None
        if size != end:
            raise DataError(f"{path}: has {size} bytes, not {end}; it was changed while it was in use")
        if 0 in self.shape:
            return np.empty(self.shape, np.float32)
        # Without the subclass: what is cut out of a memmap would claim to be the file as well.
        return np.asarray(np.memmap(path, np.float32, "r", self.start, self.shape))
