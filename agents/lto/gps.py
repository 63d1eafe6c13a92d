"""Guided policy search: targets by linear-quadratic regulators on fitted models, imitated by one network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from torch import Tensor

from agents.lto.algorithm import GroupedAlgorithm
from agents.lto.classical import best_momentum
from agents.lto.dynamics import MixturePrior
from agents.lto.linear_gaussian import Costs, Dynamics, Policy, constrained
from agents.lto.policy import StepPolicy, input_scale
from pop_envs.checks import one_of

Reference = Literal["policy", "target"]
Models = Literal["fitted", "expanded"]

_FIRST_BATCH = 256  # samples: momentum is fitted to the end, where later targets are but a step ahead
_TOLERANCE = 1.0  # of the logarithm of divergences: the multiplier goes on from there in the next iteration
_DIFFERENCE = 1e-3  # of parameters, for curvatures: kinks of ReLU networks are averaged over it


class Rollouts:
    """Runs of F functions, S of each: what they saw and did.

    Attributes:
        observations: (F, T, S, features), float32.
        actions: (F, T, S, d).
        x: Points (F, T + 1, S, d).
        y: Values (F, T + 1, S).
        w: What each evaluation told (F, T + 1, S, d + 1): the gradient, and the fall from the point before.
    """

    def __init__(self, observations: Tensor, actions: Tensor, x: Tensor, y: Tensor, g: Tensor) -> None:
        self.observations, self.actions, self.x, self.y = observations, actions, x, y
        self.w = torch.cat([g, y.diff(dim=1, prepend=y[:, :1])[..., None]], -1)

    def states(self, history: int) -> Tensor:
        """States z (F, T, S, n) before each action."""
        steps = self.actions.shape[1]
        padded = torch.nn.functional.pad(self.w, (0, 0, 0, 0, history - 1, 0))
        slots = [padded[:, history - 1 - lag : history - 1 - lag + steps] for lag in range(history)]
        return torch.cat([self.x[:, :steps], *slots], -1)


class GuidedPolicySearch(GroupedAlgorithm):
    """Guided policy search (Levine and Abbeel, 2014) as Li and Malik use it (sections 3.3 and 5).

    Each iteration plays some runs of each function, fits linear models of what evaluations tell, finds for each
    function the time-varying linear-Gaussian policy that lowers the cost most within a bound on its divergence from
    the reference, and fits the network to these targets, weighted by their precisions. The first targets are
    momentum's with the best setting of a grid for each function.

    Args:
        policy: The class ``StepPolicy``.
        env: A ``GroupedVecEnv``.
        learning_rate: Of the network's fits, by Adam.
        reference: What targets stay close to: the targets before, whose runs are then those played, as in section
            3.3; or the network, made linear along its own runs (mirror descent guided policy search, Montgomery and
            Levine, 2016).
        gap: Targets lower the logarithm of how far values, and this much, are above the run's lowest; if it is
            None, the values themselves, as in section 4. By values alone, what is left to gain late in a run is too
            little to be learned.
        memory: How many of the last evaluations targets see, at most the history. What the network sees of older ones
            counts as fixed. A sweep over the steps costs its square.
        discount: Of later costs in the targets' eyes, where errors of the models would grow beyond all bounds.
        divergence: Bound on it, in nats for a step and coordinate.
        multiplier: Whether it bounds each function's divergence, as in section 3.3, or their mean by one multiplier.
        momentum: Whether its setting is the best for each function, as in section 5, or one for all.
        noise: Standard deviation of actions that are played, relative to the root mean square of a step's actions.
        noise_floor: The least of it, in units of actions.
        epochs: Passes over an iteration's samples. Few: more fit what is peculiar to its functions.
        first_epochs: Passes over momentum's.
        first_learning_rate: Of the fit to momentum, whatever the schedule.
        batch_size: Samples in a minibatch.
        max_grad_norm: Bound on a minibatch's gradient.
        averaging: Weight that the average of the network over iterations, which is what ``predict`` runs, keeps at
            each.
        models: Whether targets know of an evaluation what models fitted to samples do, as in section 3.3, or what the
            objective's second derivatives at the mean points say, which the quadratic costs rest on in any case.
        components: Gaussians of the fitted models' prior.
        prior_strength: Its weight, in samples.
        **kwargs: ``policy_kwargs``, ``tensorboard_log``, ``verbose``, ``device``, ``seed`` of SB3.
    """

    def __init__(
        self,
        policy: type[StepPolicy] | str,
        env: GymEnv | None,
        learning_rate: float = 1e-3,
        *,
        reference: Reference = "policy",
        gap: float | None = None,
        memory: int | None = None,
        discount: float = 1.0,
        divergence: float = 0.5,
        multiplier: Literal["each", "shared"] = "each",
        momentum: Literal["each", "shared"] = "each",
        noise: float = 0.3,
        noise_floor: float = 5e-3,
        epochs: int = 1,
        first_epochs: int = 60,
        first_learning_rate: float = 1e-3,
        batch_size: int = 1024,
        max_grad_norm: float = 10.0,
        averaging: float = 0.9,
        models: Models = "fitted",
        components: int = 10,
        prior_strength: float = 5.0,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, **kwargs)
        one_of("reference", reference, ("policy", "target"))
        self.reference, self.divergence = reference, divergence
        self.gap, self.memory, self.discount = gap, memory, discount
        self.multiplier = one_of("multiplier", multiplier, ("each", "shared"))
        self.momentum = one_of("momentum", momentum, ("each", "shared"))
        self.noise, self.noise_floor = noise, noise_floor
        self.epochs, self.first_epochs, self.batch_size = epochs, first_epochs, batch_size
        self.max_grad_norm, self.averaging = max_grad_norm, averaging
        self.first_learning_rate = first_learning_rate
        self.models = one_of("models", models, ("fitted", "expanded"))
        self.components, self.prior_strength = components, prior_strength
        self.iteration = 0
        self._deviation: Tensor = torch.empty(0)
        self.eta = 1e-2
        self.targets: Policy | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        self.prior = MixturePrior(self.components, self.prior_strength, seed=self.seed or 0)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_played"]

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "GPS",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learns until so many steps were made in all environments together; see ``BaseAlgorithm``."""
        total, told = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        told.on_training_start(locals(), globals())
        while self.num_timesteps < total:
            rollouts = self._play(told)
            if rollouts is None:
                break
            self._update_current_progress_remaining(self.num_timesteps, total)
            self.train(rollouts)
            self.iteration += 1
            if log_interval and self.iteration % log_interval == 0:
                self.logger.dump(self.num_timesteps)
        told.on_training_end()
        return self

    def train(self, rollouts: Rollouts) -> None:
        """One iteration's targets and fit."""
        states = rollouts.states(self._memory)
        self._update_learning_rate(self.policy.optimizer)
        if self.iteration == 0:
            for group in self.policy.optimizer.param_groups:
                group["lr"] = self.first_learning_rate
            self.policy.network.scale.copy_(input_scale(rollouts.observations.flatten(0, 2), self._history))
            targets, epochs = self._played, self.first_epochs
            wanted = targets.mean(states)
        else:
            reference = self._linearized(rollouts, states) if self.reference == "policy" else self.targets
            assert reference is not None
            targets, epochs = self._improve(rollouts, states, reference), self.epochs
            wanted = targets.mean(states)
            if self.reference == "policy":
                wanted = self._near(rollouts, wanted - reference.mean(states))
        if self.reference == "target":
            self.targets = targets
        precision = torch.linalg.inv(targets.covariance)
        # What cannot be trusted, where a model has gone astray, is left out.
        sound = torch.linalg.cholesky_ex(precision).info.eq(0).all(1) & wanted.isfinite().flatten(1).all(1)
        if sound.any():
            self._imitate(rollouts.observations[sound], wanted[sound], precision[sound], epochs)
        self.policy.follow(self.averaging if self.iteration else 0.0)
        self.logger.record("train/left_out", int((~sound).sum()))
        self.logger.record("rollout/cost", float(rollouts.y[:, 1:].mean()))
        self.logger.record("rollout/last_value", float(rollouts.y[:, -1].mean()))
        self.logger.record("time/iterations", self.iteration + 1)

    @property
    def _history(self) -> int:
        return int(self.policy.network.shape["history"])

    @property
    def _memory(self) -> int:
        return min(self.memory or self._history, self._history)

    @property
    def _reach(self) -> float:
        assert self.env is not None
        return self.env.core.task.max_step

    def _play(self, callback: BaseCallback) -> Rollouts | None:
        """Plays one episode of all runs; None if the callback stops it."""
        env, group = self.env, self._group
        assert env is not None
        observation = env.reset()
        assert isinstance(observation, np.ndarray)
        callback.on_rollout_start()
        steps, m = env.core.task.budget, env.core.dim + 1
        if self.iteration == 0:
            self._played = self._momentum()
        follows_targets = self.iteration == 0 or self.reference == "target"
        played = self._played if self.iteration == 0 else self.targets
        observations, actions, deviations, points = [], [], [], [env.newest]
        x, y, g = points[0]
        state = torch.cat([x, g, torch.zeros_like(y)[:, None], x.new_zeros(len(x), (self._memory - 1) * m)], 1)
        for t in range(steps):
            observations.append(torch.from_numpy(observation))
            noise = torch.randn(x.shape, dtype=x.dtype)
            if follows_targets:
                assert played is not None
                mean, root = played.offset[:, t], torch.linalg.cholesky(played.covariance[:, t])
                rows = state.unflatten(0, (-1, group))
                action = rows @ played.gain[:, t].mT + mean[:, None] + noise.unflatten(0, (-1, group)) @ root.mT
                action = action.flatten(0, 1)
            else:
                with torch.no_grad():
                    action = self.policy.network(observations[-1]).double()
                deviations.append(self._noise(action.unflatten(0, (-1, group))))
                action = action + deviations[-1].repeat_interleave(group, 0)[:, None] * noise
            action = action.clamp(-1, 1)
            observation, rewards, dones, infos = env.step(action.numpy())
            self.num_timesteps += env.num_envs
            x, y_next, g = env.newest
            new = torch.cat([x, g, (y_next - y)[:, None]], 1)
            state, y = torch.cat([new, state[:, env.core.dim : -m]], 1), y_next
            actions.append(action)
            points.append((x, y, g))
            callback.update_locals(locals())
            if not callback.on_step():
                return None
        self._update_info_buffer(infos, dones)

        def grouped(arrays: Iterable[Tensor]) -> Tensor:
            return torch.stack(list(arrays), 1).unflatten(0, (-1, group)).transpose(1, 2).contiguous()

        rollouts = Rollouts(grouped(observations), grouped(actions), *(grouped(p[i] for p in points) for i in range(3)))
        if deviations:
            self._deviation = torch.stack(deviations, 1)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return rollouts

    @property
    def _group(self) -> int:
        assert self.env is not None
        return self.env.group

    def _noise(self, actions: Tensor) -> Tensor:
        """Standard deviations (...,) to play with, from actions (..., S, d)."""
        typical = actions.mean(-2).square().mean(-1).sqrt()
        return (self.noise * typical).clamp(min=self.noise_floor)

    def _momentum(self) -> Policy:
        """Momentum with the best setting for each function."""
        env = self.env
        assert env is not None
        starts = env.core.search.x[:: self._group]
        steps, d = env.core.task.budget, env.core.dim
        settings, points = best_momentum(env.functions, starts, steps, shared=self.momentum == "shared")
        size, decay = (
            torch.tensor([getattr(s, name) for s in settings], dtype=torch.float64) for name in ("step_size", "decay")
        )
        weights = size[:, None] * decay[:, None] ** torch.arange(self._memory)  # (F, memory)
        slots = torch.zeros(len(size), d, self._memory, d + 1, dtype=torch.float64)
        slots[:, :, :, :d] = -weights[:, None, :, None] / self._reach * torch.eye(d, dtype=torch.float64)[:, None]
        gain = torch.cat([slots.new_zeros(len(size), d, d), slots.flatten(2)], 2)
        gain = gain[:, None].expand(-1, steps, -1, -1).contiguous()
        # What it does without noise says how much noise there should be.
        variance = self._noise(points.diff(dim=1)[:, :, None] / self._reach).square()
        covariance = variance[..., None, None] * torch.eye(d, dtype=torch.float64)
        return Policy(gain, gain.new_zeros(len(size), steps, d), covariance)

    def _improve(self, rollouts: Rollouts, states: Tensor, reference: Policy) -> Policy:
        """Targets that cost less, close to the reference."""
        d = rollouts.x.shape[-1]
        before = torch.cat([rollouts.x[:, :-1], rollouts.w[:, :-1], rollouts.actions], -1)
        curvature = self._curvature(rollouts)
        dynamics = self._expanded(rollouts, curvature) if self.models == "expanded" else self._fitted(rollouts)
        eta = rollouts.y.new_full((len(rollouts.y),), self.eta)
        actions = rollouts.actions.shape[1] * d  # of a run
        targets, etas, reached = constrained(
            dynamics,
            self._costs(rollouts, curvature),
            reference,
            states[:, 0].mean(1),
            self._reach,
            self.divergence * actions,
            eta,
            shared=self.multiplier == "shared",
            discount=self.discount,
            tolerance=_TOLERANCE,
        )
        self.eta = float(etas.median())
        error = (rollouts.w[:, 1:] - before @ dynamics.matrix.mT - dynamics.offset[:, :, None])[..., :d]
        change = rollouts.w.diff(dim=1)[..., :d]
        self.logger.record("model/unexplained", float((error.square().mean() / change.square().mean()).sqrt()))
        self.logger.record("train/eta", self.eta)
        self.logger.record("train/divergence", float(reached.mean() / actions))
        return targets

    def _fitted(self, rollouts: Rollouts) -> Dynamics:
        """Models fitted to the samples, for which the point itself does not count."""
        d = rollouts.x.shape[-1]
        transitions = torch.cat([rollouts.w[:, :-1], rollouts.actions, rollouts.w[:, 1:]], -1)
        self.prior.fit(transitions.flatten(0, 2))
        fitted = self.prior.dynamics(transitions, 2 * d + 1)
        return fitted._replace(matrix=torch.nn.functional.pad(fitted.matrix, (d, 0)))

    def _expanded(self, rollouts: Rollouts, curvature: Tensor) -> Dynamics:
        """Models by the second derivatives (F, T, d, d) at the mean points, through the samples' own means."""
        w, d = rollouts.w.mean(2), rollouts.x.shape[-1]
        before, after = w[:, :-1, None, :d], w[:, 1:, None, :d]
        by_point = torch.cat([curvature, after - before], 2)
        matrix = torch.cat(
            [by_point, by_point.new_zeros(*by_point.shape[:3], d + 1), self._reach * torch.cat([curvature, after], 2)],
            -1,
        )
        given = torch.cat([rollouts.x[:, :-1], rollouts.w[:, :-1], rollouts.actions], -1).mean(2)
        offset = w[:, 1:] - (matrix @ given[..., None])[..., 0]
        return Dynamics(matrix, offset, matrix.new_zeros(*offset.shape, d + 1))

    def _curvature(self, rollouts: Rollouts) -> Tensor:
        """Second derivatives (F, T, d, d) of the objective at the mean points after each step."""
        assert self.env is not None
        center = rollouts.x[:, 1:].mean(2)  # (F, T, d)
        d = center.shape[-1]
        moved = center[:, :, None] + _DIFFERENCE * torch.cat([torch.eye(d), -torch.eye(d)]).to(center)
        _, g = self.env.functions.on(moved.flatten(1, 2))
        ahead, behind = g.unflatten(1, (-1, 2, d)).unbind(2)
        curvature = (ahead - behind) / (2 * _DIFFERENCE)
        return (curvature + curvature.mT) / 2

    def _costs(self, rollouts: Rollouts, curvature: Tensor) -> Costs:
        """Quadratic models of the cost at the mean points, with the positive part of ``curvature`` (F, T, d, d)."""
        center = rollouts.x[:, 1:].mean(2)
        values, vectors = torch.linalg.eigh(curvature)
        curvature = (vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT
        slope = rollouts.w[:, 1:, :, : center.shape[-1]].mean(2) - (curvature @ center[..., None])[..., 0]
        weight = cost_weights(rollouts.y.mean(2)[:, 1:], self.gap)
        return Costs(curvature * weight[..., None, None], slope * weight[..., None])

    def _linearized(self, rollouts: Rollouts, states: Tensor) -> Policy:
        """The network as a linear policy along its runs, with the noise that it is to be played with."""
        history, steps = self._history, rollouts.actions.shape[1]
        d = rollouts.actions.shape[-1]
        with torch.no_grad():
            actions, jacobian = self.policy.network.linearized(rollouts.observations)
        jacobian = jacobian.double()  # (F, T, d, features)
        lag = torch.arange(history)
        # Changes of the value are sums of falls, as far as there are any: (T, H, H).
        sums = (lag[:, None] >= lag) & (lag[:, None] < torch.arange(steps)[:, None, None])
        by_fall = jacobian[..., :history] @ sums.double()
        by_gradient = jacobian[..., history:].unflatten(-1, (history, d))
        slots = torch.cat([by_gradient, by_fall[..., None]], -1)[..., : self._memory, :]
        gain = torch.cat([slots.new_zeros(*slots.shape[:3], d), slots.flatten(3)], -1)
        center = states.mean(2)
        offset = actions.double().mean(2) - (gain @ center[..., None])[..., 0]
        covariance = self._deviation.square()[..., None, None] * torch.eye(d, dtype=torch.float64)
        return Policy(gain, offset, covariance)

    def _near(self, rollouts: Rollouts, change: Tensor) -> Tensor:
        """The network's own actions, and ``change`` (F, T, S, d): what the target changes on the linear network.

        The linear network is off the network itself by more than one iteration's targets are off it: imitating them
        as they stand would teach the network to be linear, and little else. Changes are bounded by three deviations in
        each coordinate; farther off are no samples that the models were fitted to.
        """
        with torch.no_grad():
            own = self.policy.network(rollouts.observations).double()
        most = 3 * self._deviation[:, :, None, None]
        return own + change.clamp(-most, most)

    def _imitate(self, observations: Tensor, wanted: Tensor, precision: Tensor, epochs: int) -> None:
        """Fits the network to target actions (F, T, S, d), weighted by precisions (F, T, d, d)."""
        network, optimizer = self.policy.network, self.policy.optimizer
        # So that the loss is one where actions are off by their deviation in every coordinate.
        root = torch.linalg.cholesky(precision).mT / wanted.shape[-1] ** 0.5
        root = root.float()[:, :, None].expand(-1, -1, wanted.shape[2], -1, -1).flatten(0, 2)
        observations, wanted = observations.flatten(0, 2), wanted.float().flatten(0, 2)
        size = self.batch_size if self.iteration else min(self.batch_size, _FIRST_BATCH)
        losses = []
        for _ in range(epochs):
            for chosen in torch.randperm(len(observations)).split(size):
                missed = network(observations[chosen]) - wanted[chosen]
                loss = (root[chosen] @ missed[..., None]).square().sum((1, 2)).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.max_grad_norm)
                optimizer.step()
                losses.append(loss.item())
        batches = len(losses) // epochs
        self.logger.record("train/first_loss", float(np.mean(losses[: max(1, batches // 10)])))
        self.logger.record("train/last_loss", float(np.mean(losses[-batches:])))


def cost_weights(y: Tensor, gap: float | None) -> Tensor:
    """Derivatives of ``log(y - lowest + gap)`` by values ``y`` (runs, T), scaled to be 1 on average over a run.

    Without a gap, of ``y``.
    """
    if gap is None:
        return torch.ones_like(y)
    weight = 1 / (1 + (y - y.amin(1, keepdim=True)) / gap)
    return weight / weight.mean(1, keepdim=True)
