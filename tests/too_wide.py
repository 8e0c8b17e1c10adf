"""A configuration of plausible widths that no machine has the memory for: half a tebibyte of weights.

The outer product of three vectors of 128 is multiplied by a matrix of 65,536 columns. It fails where its
memory is asked for, so nothing is taken from others.
"""

BASE = {
    f"model.{modality}.{setting}": value
    for modality in ("text", "audio", "vision")
    for setting, value in (("name", "mlp"), ("output", 128))
}
WIDTH = 65_536
PARAMETERS = {
    "model.fusion.name": {"type": "categorical", "choices": ["mlp", "tfn"]},
    "model.fusion.width": {
        "type": "categorical",
        "choices": [WIDTH - 1, WIDTH],
        "when": {"model.fusion.name": "tfn"},
    },
}
POINT = {"model.fusion.name": "tfn", "model.fusion.width": WIDTH}
