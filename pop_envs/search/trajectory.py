"""What has been seen of each optimization run so far (POP, eq. 1), as a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import NamedTuple, TypeVar

from pop_envs.arrays import Array, merged, namespace, replaced
from pop_envs.search.surrogate import Surrogate
from pop_envs.search.trust_region import TrustRegion

State = TypeVar("State")

_LARGEST = 1e150  # what is larger counts as infinite: its square would be
_FAINT = 1e-280  # a gradient made up before there is a real one, which any real one outshines


class Descent(NamedTuple):
    """What a descent would do next."""

    proposal: Array
    """The next point (batch, dim)."""
    predicted_reduction: Array
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
        last_scale: ``scale`` one step ago (batch,).
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

    t: Array
    x: Array
    y: Array
    g: Array
    valid: Array
    best_x: Array
    best_y: Array
    worst_y: Array
    improvement: Array
    scale: Array
    last_scale: Array
    mean: Array
    m2: Array
    action: Array
    downhill: Array
    proposed: Array
    dx: Array
    dg: Array
    dy: Array
    since_best: Array
    jumps: Array
    trust_region: TrustRegion | None
    kept: TrustRegion | None
    surrogate: Surrogate | None

    @classmethod
    def start(
        cls,
        x: Array,
        y: Array,
        g: Array,
        trust_region: bool = True,
        capacity: int = 0,
        descent: TrustRegion | None = None,
    ) -> Trajectory:
        """Runs that begin at ``x`` (batch, dim) with values (batch,) and gradients (batch, dim), float64.

        A surrogate goes along if it has a ``capacity``, of points; the ``descent`` is a new one, or that given, which
        has been at ``x`` last.
        """
        xp = namespace(x)
        valid = _usable(y)
        y = xp.where(valid, y, 0.0)
        g = xp.where(valid[:, None], xp.where(_usable(g), g, 0.0), _inward(x))
        zero, still, scale = xp.zeros(y.shape, y), xp.zeros(x.shape, x), xp.longest_entry(g)
        downhill = _downhill(x, g, still)
        best_y = xp.where(valid, y, math.inf)
        if trust_region and descent is None:
            descent = TrustRegion.start(x, best_y, g)
        run = cls(
            t=xp.integers(y.shape, y),
            x=x,
            y=y,
            g=g,
            valid=valid,
            best_x=x,
            best_y=best_y,
            worst_y=xp.where(valid, y, -math.inf),
            improvement=zero,
            scale=scale,
            last_scale=scale,
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
            kept=descent and replace(descent, curvature=replace(descent.curvature)),  # updates bind new arrays
            surrogate=Surrogate.start(x, y, capacity) if capacity else None,
        )
        run._set_proposed()
        return run

    def update(self, action: Array, x: Array, y: Array, g: Array) -> None:
        """Joins the point ``x`` that ``action`` led to (eq. 5); shapes as in ``start``."""
        xp = namespace(x)
        seen = xp.isfinite(self.best_y)  # whether there is any value to compare with
        valid, steepest = _usable(y), xp.longest_entry(g)
        if not (valid.all() and _usable(steepest).all()):
            y = xp.where(valid, y, xp.where(seen, self.worst_y, 0.0))
            retreat = x - self.best_x
            retreat = retreat * (self.scale / xp.at_least(xp.longest_entry(retreat), 1e-300))[:, None]
            retreat = xp.where(seen[:, None], retreat, _inward(x))
            g = xp.where(valid[:, None], xp.where(_usable(g), g, 0.0), retreat)
            steepest = xp.longest_entry(g)

        self.t = self.t + 1
        self.valid = valid
        self.action = action
        self.dx = x - self.x
        self.dg = g - self.g
        last_y, last_best = self.y, self.best_y
        if not seen.all():  # as if the new value had been there before
            last_y, last_best, self.mean = (xp.where(seen, old, y) for old in (self.y, self.best_y, self.mean))
            if self.surrogate is not None:
                self.surrogate.first = xp.where(seen, self.surrogate.first, y)
        self.dy = y - last_y
        self.x, self.y, self.g = x, y, g

        better = valid & (y < self.best_y)
        self.improvement = xp.at_least(last_best - y, 0.0)
        self.best_x, self.best_y = merged(better, (x, y), (self.best_x, self.best_y))
        self.since_best = xp.where(better, 0.0, self.since_best + 1)
        self.worst_y = xp.where(valid, xp.maximum(self.worst_y, y), self.worst_y)

        self.last_scale, self.scale = self.scale, xp.maximum(self.scale, steepest)

        # Welford's running moments.
        delta = y - self.mean
        self.mean = self.mean + delta / (self.t + 1)
        self.m2 = self.m2 + delta * (y - self.mean)

        self.downhill = _downhill(x, g, self.dx)
        if self.trust_region is not None:
            restarted = self._choose_descent(x)
            self.trust_region.update(x, y, g, valid, restarted)
        self._set_proposed()
        if self.surrogate is not None:
            self.surrogate.update(x, y)

    @property
    def growth(self) -> Array:
        """Logarithm of the factor by which ``scale`` just grew (batch,); 0 where it was 0."""
        xp = namespace(self.scale)
        return xp.where(self.last_scale == 0, 0.0, xp.log(self.scale / self.last_scale))

    @property
    def slope(self) -> Array:
        """The gradient in units of the largest entry so far (batch, dim); 0 while there was none."""
        return self.g / self.unit

    @property
    def unit(self) -> Array:
        """``scale`` as a divisor (batch, 1)."""
        return namespace(self.scale).at_least(self.scale, 1e-300)[:, None]

    @property
    def proposed_step(self) -> Array:
        """The move (batch, dim) to the trust region's proposal."""
        assert self.trust_region is not None
        return self.trust_region.proposal - self.x

    @property
    def lowest(self) -> TrustRegion | None:
        """The lowest descent, the present one or the kept; None if there are none."""
        if self.trust_region is None or self.kept is None:
            return None
        return _with_rows(self.trust_region, self.kept.y < self.trust_region.y, self.kept)

    @property
    def lowest_descent(self) -> Descent:
        """What the lowest descent, the present one or the kept, would do next."""
        assert self.trust_region is not None
        assert self.kept is not None
        kept, present = ((d.proposal, d.predicted_reduction) for d in (self.kept, self.trust_region))
        return Descent(*merged(self.kept.y < self.trust_region.y, kept, present))

    def put(self, index: Array, other: Trajectory) -> None:
        """Replaces the runs at ``index`` (n,) by the n runs of ``other``."""
        _put(self, index, other)

    def _choose_descent(self, x: Array) -> Array:
        """Keeps the lowest descent that is left for ``x`` (batch, dim), or goes on with the kept one that led there.

        Returns:
            Where (batch,) the present one is restarted at ``x``.
        """
        assert self.trust_region is not None
        assert self.kept is not None
        lower = self.kept.y < self.trust_region.y
        # What the kept one proposes is its own, though the present one might lead there too.
        taken = lower & (x == self.kept.proposal).all(-1)
        left = ~self.trust_region.leads_to(x) | taken
        if not left.any():
            return left
        resumed = left & lower & self.kept.leads_to(x)
        restarted = left & ~resumed
        self.jumps = self.jumps + restarted
        present = _with_rows(self.trust_region, resumed, self.kept)
        present.number = namespace(x).where(restarted, self.jumps, present.number)
        self.kept = _with_rows(self.kept, left & ~lower, self.trust_region)
        self.trust_region = present
        return restarted

    def _set_proposed(self) -> None:
        if self.trust_region is None:
            self.proposed = self.downhill
        else:
            xp = namespace(self.x)
            sign = xp.sign(self.proposed_step)
            self.proposed = xp.where(sign == 0, self.downhill, sign)


def _usable(v: Array) -> Array:
    return abs(v) <= _LARGEST  # false for NaN


def _inward(x: Array) -> Array:
    """A made-up gradient (batch, dim) that leads to the centre, too faint to count beside a real one."""
    return _FAINT * namespace(x).where(x == 0, 1.0, x)


def _downhill(x: Array, g: Array, dx: Array) -> Array:
    """Where the slope is zero straight on, at first inward."""
    xp = namespace(x)
    sign = -xp.sign(g)
    if sign.all():
        return sign
    sign = xp.where(sign == 0, xp.sign(dx), sign)
    return xp.where(sign == 0, xp.where(x > 0, -1.0, 1.0), sign)


def _with_rows(state: State, rows: Array, other: State) -> State:
    """A copy of ``state`` with the ``rows`` (batch,) that are True from ``other``."""
    assert is_dataclass(state)
    assert not isinstance(state, type)
    old, new = (vars(each) for each in (state, other))
    parts = {name: _with_rows(part, rows, new[name]) for name, part in old.items() if is_dataclass(part)}
    names = [name for name in old if name not in parts]
    arrays = merged(rows, [new[name] for name in names], [old[name] for name in names])
    return replace(state, **parts, **dict(zip(names, arrays, strict=True)))


def _put(target: State, index: Array, source: State) -> None:
    """Replaces rows of all arrays in ``target``, by new arrays: fields may share theirs."""
    assert is_dataclass(target)
    for f in fields(target):
        old, new = getattr(target, f.name), getattr(source, f.name)
        if is_dataclass(old):
            _put(old, index, new)
        elif old is not None:
            setattr(target, f.name, replaced(old, index, new))
