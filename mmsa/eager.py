"""Torch's optimisers without what they are wrapped in for its compiler.

The wrappers load the compiler when an optimiser is made or steps, which takes each process that trains as
long as all of torch, and nothing here is compiled.
"""

from __future__ import annotations

from inspect import unwrap

import torch


class _Eager(torch.optim.Optimizer):
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class Adam(_Eager, torch.optim.Adam):
    """As ``torch.optim.Adam``."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(_Eager, torch.optim.AdamW):
    """As ``torch.optim.AdamW``."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))


class LBFGS(_Eager, torch.optim.LBFGS):
    """As ``torch.optim.LBFGS``, whose step needs the compiler no more than ours."""
