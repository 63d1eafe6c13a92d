"""What has been seen of each optimization run so far (POP, eq. 1), as a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from pop_envs.search.surrogate import Surrogate
from pop_envs.search.trust_region import TrustRegion

State = TypeVar("State")

_LARGEST = 1e150  # what is larger counts as infinite: its square would be
_FAINT = 1e-280  # a gradient made up before there is a real one, which any real one outshines


class Descent(NamedTuple):
    """What a descent would do next."""

    proposal: Tensor
    """The next point (batch, dim)."""
    predicted_reduction: Tensor
    """The fall in value that is predicted for it (batch,)."""


@dataclass
class Trajectory:
    """The state of ``batch`` optimization runs on the unit box; in memory that does not grow with its length.

    Everything is updated causally, one point at a time, and nothing in it changes the decisions that
    follow if the objective is shifted or positively scaled. A point whose value is not finite counts as
    the worst seen, with a gradient that points back to the best, or outward while there is none.

    Attributes:
        t: Steps made (batch,).
        x: Newest point (batch, dim).
        y: Its value (batch,).
        g: Its gradient (batch, dim).
        valid: Whether the objective's newest value was finite (batch,).
        best_x: Best point (batch, dim).
        best_y: Best value (batch,); infinite while no value was finite.
        worst_y: Worst finite value (batch,); minus infinity while there is none.
        improvement: Fall of the best value in the last step (batch,).
        scale: Largest gradient entry so far (batch,): the unit of values per half-width.
        growth: Logarithm of the factor by which ``scale`` just grew (batch,).
        mean: Running mean of the values (batch,).
        m2: Running sum of squared deviations of the values (batch,).
        action: Last action (batch, dim).
        downhill: Sign of the direction that each coordinate descends (batch, dim), never 0.
        proposed: As ``downhill``, but towards the trust region's proposal, where there is one elsewhere.
        dx: Last move (batch, dim).
        dg: Last gradient change (batch, dim).
        dy: Last value change (batch,).
        since_best: Steps since the best value fell (batch,).
        jumps: Descents that were left for new ones (batch,).
        trust_region: The present descent, or None.
        kept: The lowest of the descents that were left, to be gone on with if its proposal is taken, or None.
        surrogate: A model of the box, or None.
    """

    t: Tensor
    x: Tensor
    y: Tensor
    g: Tensor
    valid: Tensor
    best_x: Tensor
    best_y: Tensor
    worst_y: Tensor
    improvement: Tensor
    scale: Tensor
    growth: Tensor
    mean: Tensor
    m2: Tensor
    action: Tensor
    downhill: Tensor
    proposed: Tensor
    dx: Tensor
    dg: Tensor
    dy: Tensor
    since_best: Tensor
    jumps: Tensor
    trust_region: TrustRegion | None
    kept: TrustRegion | None
    surrogate: Surrogate | None

    @classmethod
    def start(
        cls,
        x: Tensor,
        y: Tensor,
        g: Tensor,
        trust_region: bool = True,
        capacity: int = 0,
        descent: TrustRegion | None = None,
    ) -> Trajectory:
        """Runs that begin at ``x`` (batch, dim) with values (batch,) and gradients (batch, dim), float64.

        A surrogate goes along if it has a ``capacity``, of points; the ``descent`` is a new one, or that given, which
        has been at ``x`` last.
        """
        valid = _usable(y)
        y = torch.where(valid, y, 0.0)
        g = torch.where(valid[:, None], torch.where(_usable(g), g, 0.0), _inward(x))
        zero, still = torch.zeros_like(y), torch.zeros_like(x)
        downhill = _downhill(x, g, still)
        if trust_region and descent is None:
            descent = TrustRegion.start(x, y.masked_fill(~valid, torch.inf), g)
        run = cls(
            t=torch.zeros_like(y, dtype=torch.int64),
            x=x,
            y=y,
            g=g,
            valid=valid,
            best_x=x,
            best_y=torch.where(valid, y, torch.inf),
            worst_y=torch.where(valid, y, -torch.inf),
            improvement=zero,
            scale=g.abs().amax(-1),
            growth=zero,
            mean=y,
            m2=zero,
            action=still,
            downhill=downhill,
            proposed=downhill,
            dx=still,
            dg=still,
            dy=zero,
            since_best=zero,
            jumps=zero,
            trust_region=descent,
            kept=descent and replace(descent, curvature=replace(descent.curvature)),  # updates bind new tensors
            surrogate=Surrogate.start(x, y, capacity) if capacity else None,
        )
        run._set_proposed()
        return run

    def update(self, action: Tensor, x: Tensor, y: Tensor, g: Tensor) -> None:
        """Joins the point ``x`` that ``action`` led to (eq. 5); shapes as in ``start``."""
        seen = self.best_y.isfinite()  # whether there is any value to compare with
        valid = _usable(y)
        if not (valid.all() and _usable(g).all()):
            y = torch.where(valid, y, torch.where(seen, self.worst_y, 0.0))
            retreat = x - self.best_x
            retreat = retreat * (self.scale / retreat.abs().amax(-1).clamp(min=1e-300))[:, None]
            retreat = torch.where(seen[:, None], retreat, _inward(x))
            g = torch.where(valid[:, None], torch.where(_usable(g), g, 0.0), retreat)

        self.t = self.t + 1
        self.valid = valid
        self.action = action
        self.dx = x - self.x
        self.dg = g - self.g
        self.dy = (y - self.y).masked_fill(~seen, 0.0)
        self.x, self.y, self.g = x, y, g

        better = valid & (y < self.best_y)
        self.improvement = (self.best_y - y).masked_fill(~(better & seen), 0.0)
        self.best_x = torch.where(better[:, None], x, self.best_x)
        self.best_y = torch.where(better, y, self.best_y)
        self.since_best = (self.since_best + 1).masked_fill(better, 0.0)
        self.worst_y = torch.where(valid, torch.maximum(self.worst_y, y), self.worst_y)

        scale = torch.maximum(self.scale, g.abs().amax(-1))
        self.growth = (scale / self.scale).log().masked_fill(self.scale == 0, 0.0)
        self.scale = scale

        # Welford's running moments; the placeholder of a start without a value is forgotten.
        self.mean = torch.where(seen, self.mean, y)
        delta = y - self.mean
        self.mean = self.mean + delta / (self.t + 1)
        self.m2 = self.m2 + delta * (y - self.mean)

        self.downhill = _downhill(x, g, self.dx)
        if self.trust_region is not None:
            self._choose_descent(x)
            self.trust_region.update(x, y, g, valid)
        self._set_proposed()
        if self.surrogate is not None:
            self.surrogate.first = torch.where(seen, self.surrogate.first, y)
            self.surrogate.update(x, y)

    @property
    def slope(self) -> Tensor:
        """The gradient in units of the largest entry so far (batch, dim); 0 while there was none."""
        return self.g / self.unit

    @property
    def unit(self) -> Tensor:
        """``scale`` as a divisor (batch, 1)."""
        return self.scale.clamp(min=1e-300)[:, None]

    @property
    def proposed_step(self) -> Tensor:
        """The move (batch, dim) to the trust region's proposal."""
        assert self.trust_region is not None
        return self.trust_region.proposal - self.x

    @property
    def lowest_descent(self) -> Descent:
        """What the lowest descent, the present one or the kept, would do next."""
        assert self.trust_region is not None
        assert self.kept is not None
        kept = self.kept.y < self.trust_region.y
        return Descent(
            torch.where(kept[:, None], self.kept.proposal, self.trust_region.proposal),
            torch.where(kept, self.kept.predicted_reduction, self.trust_region.predicted_reduction),
        )

    def put(self, index: Tensor, other: Trajectory) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        _put(self, index, other)

    def _choose_descent(self, x: Tensor) -> None:
        """Keeps the lowest descent that is left for ``x`` (batch, dim), or goes on with the kept one that led there."""
        assert self.trust_region is not None
        assert self.kept is not None
        lower = self.kept.y < self.trust_region.y
        # What the kept one proposes is its own, though the present one might lead there too.
        taken = lower & (x == self.kept.proposal).all(-1)
        left = ~self.trust_region.leads_to(x) | taken
        if not left.any():
            return
        resumed = left & lower & self.kept.leads_to(x)
        begun = left & ~resumed
        self.jumps = self.jumps + begun
        present = _with_rows(self.trust_region, resumed, self.kept)
        present.number = torch.where(begun, self.jumps, present.number)
        self.kept = _with_rows(self.kept, left & ~lower, self.trust_region)
        self.trust_region = present

    def _set_proposed(self) -> None:
        if self.trust_region is None:
            self.proposed = self.downhill
        else:
            sign = self.proposed_step.sign()
            self.proposed = sign.where(sign != 0, self.downhill)


def _usable(v: Tensor) -> Tensor:
    return v.abs() <= _LARGEST  # false for NaN


def _inward(x: Tensor) -> Tensor:
    """A made-up gradient (batch, dim) that leads to the centre, too faint to count beside a real one."""
    return _FAINT * torch.where(x == 0, 1.0, x)


def _downhill(x: Tensor, g: Tensor, dx: Tensor) -> Tensor:
    """Where the slope is zero straight on, at first inward."""
    sign = -g.sign()
    if sign.all():
        return sign
    sign = torch.where(sign == 0, dx.sign(), sign)
    return torch.where(sign == 0, torch.where(x > 0, -1.0, 1.0), sign)


def _with_rows(state: State, rows: Tensor, other: State) -> State:
    """A copy of ``state`` with the ``rows`` (batch,) that are True from ``other``."""
    assert is_dataclass(state)
    assert not isinstance(state, type)
    merged: dict[str, Any] = {}
    for f in fields(state):
        old, new = getattr(state, f.name), getattr(other, f.name)
        if isinstance(old, Tensor):
            merged[f.name] = torch.where(rows.view(-1, *(1,) * (old.ndim - 1)), new, old)
        else:
            merged[f.name] = _with_rows(old, rows, new)
    return replace(state, **merged)


def _put(target: State, index: Tensor, source: State) -> None:
    """Replaces rows of all tensors in ``target``, by new tensors: fields may share theirs."""
    assert is_dataclass(target)
    for f in fields(target):
        old, new = getattr(target, f.name), getattr(source, f.name)
        if isinstance(old, Tensor):
            setattr(target, f.name, old.index_copy(0, index, new))
        elif old is not None:
            _put(old, index, new)
