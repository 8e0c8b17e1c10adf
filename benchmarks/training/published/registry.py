"""The published procedures by the name of the model."""

from published.loops import Loop
from published.mimrl import CubeMLPLoop, MIMRLLoop
from published.mmim import MMIMLoop
from published.self_mm import DMSILoop, SelfMMLoop
from published.sequences import MFNLoop, MISALoop, MulTLoop
from published.tensors import LMFLoop, TFNLoop

LOOPS: dict[str, type[Loop]] = {
    "mmim": MMIMLoop,
    "mimrl": MIMRLLoop,
    "dmsi": DMSILoop,
    "self_mm": SelfMMLoop,
    "misa": MISALoop,
    "mult": MulTLoop,
    "cubemlp": CubeMLPLoop,
    "tfn": TFNLoop,
    "lmf": LMFLoop,
    "mfn": MFNLoop,
}
