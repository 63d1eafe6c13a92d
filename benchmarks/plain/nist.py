"""NIST's reference datasets for nonlinear regression as sums of squares, with both published starts of each.

Source: National Institute of Standards and Technology, Statistical Reference Datasets, "Nonlinear Regression",
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, in the public domain. Data, starts, certified parameters and
certified residual sums of squares, which have eleven digits, stand in ``nist.json``; the models are NIST's formulas.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.plain.squares import Fit, Residuals

Model = Callable[..., Tensor]
"""Predictions (batch, n) from the predictors, each (n,), and the parameters, each (batch, 1)."""


def _saturation(x: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    return b1 * (1 - torch.exp(-b2 * x))


def _chwirut(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return torch.exp(-b1 * x) / (b2 + b3 * x)


def _lanczos(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor, b5: Tensor, b6: Tensor) -> Tensor:
    return b1 * torch.exp(-b2 * x) + b3 * torch.exp(-b4 * x) + b5 * torch.exp(-b6 * x)


def _gauss(x: Tensor, *b: Tensor) -> Tensor:
    b1, b2, b3, b4, b5, b6, b7, b8 = b
    peaks = b3 * torch.exp(-((x - b4) ** 2) / b5**2) + b6 * torch.exp(-((x - b7) ** 2) / b8**2)
    return b1 * torch.exp(-b2 * x) + peaks


def _danwood(x: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    return b1 * x**b2


def _misra1b(x: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    return b1 * (1 - (1 + b2 * x / 2) ** -2)


def _misra1c(x: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    return b1 * (1 - (1 + 2 * b2 * x) ** -0.5)


def _misra1d(x: Tensor, b1: Tensor, b2: Tensor) -> Tensor:
    return b1 * b2 * x / (1 + b2 * x)


def _kirby2(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor, b5: Tensor) -> Tensor:
    return (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2)


def _cubic_over_cubic(x: Tensor, *b: Tensor) -> Tensor:
    b1, b2, b3, b4, b5, b6, b7 = b
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def _nelson(x1: Tensor, x2: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return b1 - b2 * x1 * torch.exp(-b3 * x2)


def _mgh17(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor, b5: Tensor) -> Tensor:
    return b1 + b2 * torch.exp(-x * b4) + b3 * torch.exp(-x * b5)


def _roszman1(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor) -> Tensor:
    return b1 - b2 * x - torch.atan(b3 / (x - b4)) / math.pi


def _enso(x: Tensor, *b: Tensor) -> Tensor:
    b1, b2, b3, b4, b5, b6, b7, b8, b9 = b
    year, first, second = (2 * math.pi * x / period for period in (12, b4, b7))
    waves = b5 * torch.cos(first) + b6 * torch.sin(first) + b8 * torch.cos(second) + b9 * torch.sin(second)
    return b1 + b2 * torch.cos(year) + b3 * torch.sin(year) + waves


def _mgh09(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor) -> Tensor:
    return b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)


def _rat42(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return b1 / (1 + torch.exp(b2 - b3 * x))


def _mgh10(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return b1 * torch.exp(b2 / (x + b3))


def _eckerle4(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return b1 / b2 * torch.exp(-0.5 * ((x - b3) / b2) ** 2)


def _rat43(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor) -> Tensor:
    return b1 / (1 + torch.exp(b2 - b3 * x)) ** (1 / b4)


def _bennett5(x: Tensor, b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    return b1 * (b2 + x) ** (-1 / b3)


MODELS: dict[str, Model] = {
    "misra1a": _saturation,
    "chwirut2": _chwirut,
    "chwirut1": _chwirut,
    "lanczos3": _lanczos,
    "gauss1": _gauss,
    "gauss2": _gauss,
    "danwood": _danwood,
    "misra1b": _misra1b,
    "kirby2": _kirby2,
    "hahn1": _cubic_over_cubic,
    "nelson": _nelson,
    "mgh17": _mgh17,
    "lanczos1": _lanczos,
    "lanczos2": _lanczos,
    "gauss3": _gauss,
    "misra1c": _misra1c,
    "misra1d": _misra1d,
    "roszman1": _roszman1,
    "enso": _enso,
    "mgh09": _mgh09,
    "thurber": _cubic_over_cubic,
    "boxbod": _saturation,
    "rat42": _rat42,
    "mgh10": _mgh10,
    "eckerle4": _eckerle4,
    "rat43": _rat43,
    "bennett5": _bennett5,
}
"""The model of each dataset, in NIST's order, from lower to higher difficulty."""


def fit(name: str) -> Fit:
    """The sum of squares of the dataset of that name.

    Its box has no least margin, for parameters are as small as 5e-9 and a margin of any fixed size would hide them.
    """
    data = _datasets()[name]
    starts, certified = (np.array(data[key], dtype=np.float64) for key in ("starts", "certified"))
    return Fit(name, f"{data['level']} difficulty", residuals(name), starts, certified, data["rss"], floor=0.0)


@cache
def residuals(name: str) -> Residuals:
    """Observation minus prediction of the dataset of that name."""
    data, model = _datasets()[name], MODELS[name]
    y, *predictors = (torch.tensor(row, dtype=torch.float64, device="cpu") for row in (data["y"], *data["x"]))
    observed = y.log() if name == "nelson" else y

    def of_parameters(b: Tensor) -> Tensor:
        return observed - model(*predictors, *b[..., None].unbind(-2))

    return of_parameters


@cache
def _datasets() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("benchmarks.plain").joinpath("nist.json").read_text("utf-8"))
    return found["sets"]
