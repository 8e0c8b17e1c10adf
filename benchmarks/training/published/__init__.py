"""The published procedures, written anew from their descriptions: what the benchmark compares with.

Naive where the released code is: every clip is padded to the longest of the data set, one dictionary a clip
goes through torch's default collation, gradients are computed wherever the code computes them, whoever uses
them or not, and Adam is torch's default. Kinder than the released code in one thing: anomaly detection, which
MMIM's leaves switched on, is off.
"""

from published.loops import Loop as Loop
from published.registry import LOOPS as LOOPS
