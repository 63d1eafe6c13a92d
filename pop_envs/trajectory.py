"""What has been seen of each optimization run so far (POP, eq. 1), as a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pop_envs.descent import Descent
from pop_envs.scout import Scout

_LARGEST = 1e150  # what is larger counts as infinite: its square would be
_FAINT = 1e-280  # a gradient made up before there is a real one, which any real one outshines


@dataclass
class Trajectory:
    """The state of ``batch`` optimization runs on the unit box; in constant memory, but for the scout.

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
        heading: Sign of the direction that each coordinate descends (batch, dim), never 0.
        course: As ``heading``, but of the quasi-Newton direction, where there is one that is not 0.
        dx: Last move (batch, dim).
        dg: Last gradient change (batch, dim).
        dy: Last value change (batch,).
        descent: A quasi-Newton descent along the run; None where nobody asks for it.
        scout: A model of the box that says where to look next; None where nobody asks for it.
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
    heading: Tensor
    course: Tensor
    dx: Tensor
    dg: Tensor
    dy: Tensor
    descent: Descent | None
    scout: Scout | None

    @classmethod
    def start(cls, x: Tensor, y: Tensor, g: Tensor, descend: bool = True, scouted: int = 0) -> Trajectory:
        """Runs that begin at ``x`` (batch, dim) with values (batch,) and gradients (batch, dim), float64.

        Without ``descend`` there is no quasi-Newton descent; a scout goes along for up to ``scouted`` steps.
        """
        valid = _usable(y)
        y = torch.where(valid, y, 0.0)
        g = torch.where(valid[:, None], torch.where(_usable(g), g, 0.0), _inward(x))
        zero, still = torch.zeros_like(y), torch.zeros_like(x)
        heading = _heading(x, g, still)
        run = cls(
            t=torch.zeros_like(y, dtype=torch.int64),
            x=x,
            y=y,
            g=g,
            valid=valid,
            best_x=x.clone(),
            best_y=torch.where(valid, y, torch.inf),
            worst_y=torch.where(valid, y, -torch.inf),
            improvement=zero,
            scale=g.abs().amax(-1),
            growth=zero.clone(),
            mean=y.clone(),
            m2=zero.clone(),
            action=still,
            heading=heading,
            course=heading,
            dx=still.clone(),
            dg=still.clone(),
            dy=zero.clone(),
            descent=Descent.start(x, y.masked_fill(~valid, torch.inf), g) if descend else None,
            scout=Scout.start(x, y, scouted + 1) if scouted else None,
        )
        run._set_course()
        return run

    def observe(self, action: Tensor, x: Tensor, y: Tensor, g: Tensor) -> None:
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
        self.worst_y = torch.where(valid, torch.maximum(self.worst_y, y), self.worst_y)

        scale = torch.maximum(self.scale, g.abs().amax(-1))
        self.growth = (scale / self.scale).log().masked_fill(self.scale == 0, 0.0)
        self.scale = scale

        # Welford's running moments; the placeholder of a start without a value is forgotten.
        self.mean = torch.where(seen, self.mean, y)
        delta = y - self.mean
        self.mean = self.mean + delta / (self.t + 1)
        self.m2 = self.m2 + delta * (y - self.mean)

        self.heading = _heading(x, g, self.dx)
        if self.descent is not None:
            self.descent.observe(x, y, g, valid)
        self._set_course()
        if self.scout is not None:
            self.scout.first = torch.where(seen, self.scout.first, y)
            self.scout.observe(x, y)

    @property
    def slope(self) -> Tensor:
        """The gradient in units of the largest entry so far (batch, dim); 0 while there was none."""
        return self.g / self.unit

    @property
    def unit(self) -> Tensor:
        """``scale`` as a divisor (batch, 1)."""
        return self.scale.clamp(min=1e-300)[:, None]

    @property
    def newton(self) -> Tensor:
        """The move (batch, dim) to where the quasi-Newton descent would go."""
        assert self.descent is not None
        return self.descent.target - self.x

    def put(self, index: Tensor, other: Trajectory) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        _put(self, index, other)
        if self.descent is not None and other.descent is not None:
            _put(self.descent, index, other.descent)
            _put(self.descent.pairs, index, other.descent.pairs)
        if self.scout is not None and other.scout is not None:
            _put(self.scout, index, other.scout)

    def _set_course(self) -> None:
        if self.descent is None:
            self.course = self.heading
        else:
            sign = self.newton.sign()
            self.course = sign.where(sign != 0, self.heading)


def _usable(v: Tensor) -> Tensor:
    return v.abs() <= _LARGEST  # false for NaN


def _inward(x: Tensor) -> Tensor:
    """A made-up gradient (batch, dim) that leads to the centre, too faint to count beside a real one."""
    return _FAINT * torch.where(x == 0, 1.0, x)


def _heading(x: Tensor, g: Tensor, dx: Tensor) -> Tensor:
    """Downhill; where the slope is zero straight on, at first inward."""
    heading = -g.sign()
    if heading.all():
        return heading
    heading = torch.where(heading == 0, dx.sign(), heading)
    return torch.where(heading == 0, torch.where(x > 0, -1.0, 1.0), heading)


def _put(target: object, index: Tensor, source: object) -> None:
    for f in fields(target):  # type: ignore[arg-type]
        value = getattr(target, f.name)
        if isinstance(value, Tensor):
            # A fresh tensor: fields may share memory with arrays that were handed out.
            value = value.clone()
            value[index] = getattr(source, f.name)
            setattr(target, f.name, value)
