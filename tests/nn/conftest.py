"""Networks with weights large enough that attention is far from uniform, and the numpy evaluation of the paper."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def paper_numpy() -> ModuleType:
    """Give the helper file beside this one, which pytest's importlib mode keeps off ``sys.path``."""
    spec = importlib.util.spec_from_file_location("paper_numpy", Path(__file__).with_name("paper_numpy.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def randomise():
    """Give ``randomise(network, seed)``: draws every parameter anew, large, so that no term is negligible."""

    def draw(network: torch.nn.Module, seed: int, std: float = 0.3) -> torch.nn.Module:
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                value = rng.normal(0, std, size=tuple(parameter.shape))
                if "norm" in name and name.endswith("weight"):
                    value = 1 + value
                parameter.copy_(torch.from_numpy(value))
        return network

    return draw
