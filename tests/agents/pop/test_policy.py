import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.pop.policy import TrajectoryPolicy
from pop_optimizer.networks.distributions import DISTRIBUTIONS

HEADS = list(DISTRIBUTIONS)
SURROGATE, TRUST_REGION, LOWEST = -3, -2, -1  # features of the token that are actions


@pytest.fixture(params=[False, True], ids=["alone", "mixing"])
def mixing(request):
    return request.param


def tokens_of(batch, steps, dim, features=8):
    torch.manual_seed(5)
    tokens = torch.randn(batch, steps, dim, features)
    tokens[..., [SURROGATE, TRUST_REGION, LOWEST]] = torch.rand(batch, steps, dim, 3) * 2 - 1
    return tokens


def close(a, b):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=1e-5, rtol=0)


@torch.no_grad()
def played(policy, tokens, deterministic=False):
    """Actions, values and log-probabilities (batch, steps, ...), one token after the other."""
    cache = policy.network.new_cache(len(tokens), tokens.shape[2], tokens.shape[1])
    records = []
    for token in tokens.unbind(1):
        distribution, values = policy.network.step(token, cache)
        actions = distribution.get_actions(deterministic)
        records.append((actions, values, distribution.log_prob(actions)))
    return tuple(torch.stack(part, 1) for part in zip(*records, strict=True))


def predicted(policy, tokens, starts=None):
    """Deterministic actions (batch, steps, dim) of ``predict``, its state handed on."""
    state, actions = None, []
    for t, token in enumerate(tokens.unbind(1)):
        start = np.full(len(tokens), t == 0) if starts is None else starts[:, t]
        action, state = policy.predict(token.numpy(), state, start, deterministic=True)
        actions.append(action)
    return np.stack(actions, 1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_step_and_evaluate_actions_agree(policy_of, head, dim, mixing):
    policy, tokens = policy_of(dim, head=head, mixing=mixing), tokens_of(3, 8, dim)
    actions, values, log_probs = played(policy, tokens)
    with torch.no_grad():
        whole_values, whole_log_probs, entropies = policy.evaluate_actions(tokens, actions)
    close(whole_values, values.flatten())
    torch.testing.assert_close(whole_log_probs, log_probs.flatten(), atol=1e-5, rtol=1e-5)
    assert entropies.shape == (24,)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_step_and_predict_agree(policy_of, head, dim, mixing):
    policy, tokens = policy_of(dim, head=head, mixing=mixing), tokens_of(3, 8, dim)
    close(predicted(policy, tokens), played(policy, tokens, deterministic=True)[0].clamp(-1, 1))


def test_predict_forgets_where_an_episode_starts(policy_of, mixing):
    policy, tokens = policy_of(mixing=mixing), tokens_of(3, 9, 2)
    starts = np.zeros((3, 9), dtype=bool)
    starts[:, 0] = starts[1, 4] = starts[2, 2] = True
    actions = predicted(policy, tokens, starts)
    whole = predicted(policy, tokens)
    close(actions[0], whole[0])
    close(actions[1, :4], whole[1, :4])
    close(actions[1, 4:], predicted(policy, tokens[1:2, 4:])[0])
    close(actions[2, 2:], predicted(policy, tokens[2:3, 2:])[0])
    assert np.abs(actions[1, 4:] - whole[1, 4:]).max() > 1e-3


def test_predict_starts_anew_without_a_state(policy_of):
    policy, tokens = policy_of(), tokens_of(1, 2, 2)
    first = policy.predict(tokens[:, 1].numpy(), deterministic=True)[0]
    close(first, predicted(policy, tokens[:, 1:])[:, 0])


def test_predict_leaves_the_state_that_it_was_given_alone(policy_of):
    policy, tokens = policy_of(), tokens_of(2, 4, 2)
    _, state = policy.predict(tokens[:, 0].numpy())
    _, state = policy.predict(tokens[:, 1].numpy(), state)
    _, state = policy.predict(tokens[:, 2].numpy(), state, np.array([True, True]))  # leaves room behind
    kept = [part.copy() for part in state]
    policy.predict(tokens[:, 3].numpy(), state)
    for part, before in zip(state, kept, strict=True):
        np.testing.assert_array_equal(part, before)


def test_predict_takes_one_observation_as_well_as_a_batch(policy_of):
    policy, tokens = policy_of(), tokens_of(1, 3, 2)
    state = None
    for token, expected in zip(tokens[0], predicted(policy, tokens)[0], strict=True):
        action, state = policy.predict(token.numpy(), state, deterministic=True)
        assert action.shape == (2,)
        close(action, expected)


def test_drawn_actions_stay_in_the_action_space(policy_of):
    policy, tokens = policy_of(head="gaussian", spread=0.5), tokens_of(2000, 1, 2)
    torch.manual_seed(0)
    actions = policy.predict(tokens[:, 0].numpy())[0]
    assert np.abs(actions).max() == 1.0  # some were outside
    assert np.unique(actions).size > 500


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dim", [2, 5])
def test_one_set_of_weights_runs_in_any_dimension(policy_of, head, dim, mixing):
    single, policy = policy_of(1, head=head, mixing=mixing), policy_of(dim, head=head, seed=1, mixing=mixing)
    policy.load_state_dict(single.state_dict())
    alone = tokens_of(3, 6, 1)
    actions, values, _ = played(single, alone, deterministic=True)
    # Coordinates that have seen the same do the same, and their mean value is their value.
    copied, copied_values, _ = played(policy, alone.expand(-1, -1, dim, -1), deterministic=True)
    close(copied, actions.expand(-1, -1, dim))
    close(copied_values, values)


@pytest.mark.parametrize("head", HEADS)
def test_permuted_coordinates_permute_the_actions_and_leave_the_value(policy_of, head, mixing):
    policy, tokens = policy_of(5, head=head, mixing=mixing), tokens_of(4, 6, 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    actions, values, log_probs = played(policy, tokens, deterministic=True)
    moved, moved_values, moved_log_probs = played(policy, tokens[:, :, order], deterministic=True)
    close(moved, actions[..., order])
    close(moved_values, values)
    torch.testing.assert_close(moved_log_probs, log_probs, atol=1e-5, rtol=1e-5)
    assert (actions - actions[..., order]).abs().max() > 1e-2


@pytest.mark.parametrize("head", ["mixture", "unguided_jumps"])
def test_an_untrained_mixture_makes_the_quasi_newton_step(policy_of, head):
    policy, tokens = policy_of(head=head, spread=0.0), tokens_of(50, 4, 2)
    actions = played(policy, tokens, deterministic=True)[0]
    assert (actions - tokens[..., TRUST_REGION]).abs().max() < 0.15


@torch.no_grad()
def test_an_untrained_mixture_that_jumps_goes_where_the_surrogate_says(policy_of):
    policy, tokens = policy_of(spread=0.0), tokens_of(50, 1, 2)
    policy.network.action_net.bias[-1] = 9.0  # the logit of a jump
    actions = played(policy, tokens, deterministic=True)[0]
    assert (actions - tokens[..., SURROGATE]).abs().max() < 0.15


@pytest.mark.parametrize("head", HEADS)
def test_a_coordinate_changes_the_actions_of_others_only_where_they_mix(policy_of, head, mixing):
    policy, tokens = policy_of(3, head=head, mixing=mixing, spread=0.3), tokens_of(4, 6, 3)
    # Whether a mixture steps or jumps is for all coordinates together: here it steps, and a choice jumps.
    logits, decided = (slice(-4, None), torch.tensor([0.0, 0.0, 9.0, 0.0])) if head == "options" else (-1, -1.0)
    policy.network.action_net.weight.data[logits], policy.network.action_net.bias.data[logits] = 0.0, decided
    other = tokens.clone()
    other[:, 2:, 1] += 1
    (actions, *_), (changed, *_) = (played(policy, t, deterministic=True) for t in (tokens, other))
    moved = (changed - actions).abs()
    assert moved[:, :2].max() == 0
    assert moved[:, 2:, 1].max() > 1e-3
    assert moved[:, 2:, [0, 2]].max() > 1e-3 if mixing else moved[:, :, [0, 2]].max() == 0


def test_gradients_reach_every_weight(policy_of, mixing):
    policy, tokens = policy_of(mixing=mixing), tokens_of(4, 6, 2)
    values, log_probs, _ = policy.evaluate_actions(tokens, tokens[..., TRUST_REGION])
    (values.sum() + log_probs.sum()).backward()
    assert all(weights.grad.abs().sum() > 0 for weights in policy.parameters())


def test_the_optimizer_holds_every_weight(policy_of, mixing):
    policy = policy_of(mixing=mixing)
    held = [weights for group in policy.optimizer.param_groups for weights in group["params"]]
    assert {id(weights) for weights in held} == {id(weights) for weights in policy.parameters()}


def test_a_saved_policy_acts_as_before(policy_of, tmp_path, mixing):
    policy, tokens = policy_of(width=8, heads=1, depth=1, mixing=mixing), tokens_of(2, 5, 2)
    policy.save(tmp_path / "policy.pt")
    loaded = TrajectoryPolicy.load(tmp_path / "policy.pt")
    shape = {"head": "mixture", "width": 8, "depth": 1, "heads": 1, "mixing": mixing, "window": None}
    assert loaded.shape == policy.shape == shape
    np.testing.assert_array_equal(predicted(loaded, tokens), predicted(policy, tokens))


@pytest.mark.parametrize(("observed", "acted"), [((11, 2, 4), (2,)), ((4,), (4,)), ((3, 4), (2,))])
def test_observations_that_are_not_tokens_are_refused(observed, acted):
    with pytest.raises(ValueError, match='make the environment with observation="token"'):
        TrajectoryPolicy(spaces.Box(-1, 1, observed), spaces.Box(-1, 1, acted), lambda _: 1e-3)


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match=r"head must be one of 'gaussian', 'mixture'.* got 'beta'"):
        TrajectoryPolicy(spaces.Box(-1, 1, (2, 4)), spaces.Box(-1, 1, (2,)), lambda _: 1e-3, head="beta")
