import math

import pytest
import torch

from pop_optimizer.networks.transformer import Block, Cache, TrajectoryTransformer, last_hidden


@pytest.fixture(params=[False, True], ids=["alone", "mixing"])
def mixing(request):
    return request.param


def made(features=5, width=16, depth=2, heads=4, mixing=False):
    torch.manual_seed(0)
    return TrajectoryTransformer(features, width, depth, heads, mixing)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 2), (4, 17), (2, 120)])
def test_step_by_step_with_a_cache_equals_the_whole_sequence(batch, dim, length, mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(batch, dim, length, 5)
    cache = Cache(transformer, batch, dim, length)
    stepped = torch.stack([transformer.step(token, cache) for token in tokens.unbind(2)], 2)
    assert stepped.shape == (batch, dim, length, 16)
    close(stepped, transformer(tokens))


def test_a_block_is_attention_written_out(mixing):
    torch.manual_seed(1)
    block, h = Block(8, 2, mixing), torch.randn(3, 4, 6, 8)
    q, k, v = block.qkv(block.norm1(h)).chunk(3, -1)
    future = torch.ones(6, 6, dtype=torch.bool).triu(1)
    attended = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (q[..., head] @ k[..., head].mT / math.sqrt(4)).masked_fill(future, -torch.inf).softmax(-1)
        attended.append(weights @ v[..., head])
    middle = h + block.out(torch.cat(attended, -1))
    normed = block.norm2(middle)
    up = block.up(normed)
    if mixing:
        up = up + sum(normed[:, d] for d in range(4))[:, None] / 4 @ block.mix.weight.T
    expected = middle + block.down(torch.nn.functional.gelu(up, approximate="tanh"))
    close(block(h, None), expected)


@pytest.mark.parametrize("changed", [0, 4, 9])
def test_a_token_changes_nothing_before_itself_and_everything_after(changed, mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(2, 3, 10, 5)
    other = tokens.clone()
    other[:, :, changed] += 1
    moved = (transformer(other) - transformer(tokens)).abs().amax((0, 1, 3))
    assert (moved[:changed] == 0).all()
    assert (moved[changed:] > 1e-4).all()


@pytest.mark.parametrize("changed", [0, 4, 9])
def test_a_coordinate_changes_the_others_only_where_they_mix_and_never_their_past(changed, mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(2, 3, 10, 5)
    other = tokens.clone()
    other[:, 1, changed] += torch.randn(5)
    moved = (transformer(other) - transformer(tokens)).abs().amax((0, 3))  # (dim, steps)
    assert (moved[:, :changed] == 0).all()
    assert (moved[1, changed:] > 1e-4).all()
    others = moved[[0, 2], changed:]
    assert (others > 1e-5).all() if mixing else (others == 0).all()


def test_permuted_coordinates_permute_the_hidden_states(mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(2, 5, 7, 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    h = transformer(tokens)
    close(transformer(tokens[:, order]), h[:, order])
    assert (h - h[:, order]).abs().max() > 0.1


def test_coordinates_that_see_the_same_are_as_one_alone(mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(2, 1, 7, 5)
    close(transformer(tokens.expand(-1, 4, -1, -1)), transformer(tokens).expand(-1, 4, -1, -1))


def test_without_mixing_coordinates_are_as_runs_of_their_own():
    transformer, tokens = made(), torch.randn(3, 4, 6, 5)
    close(transformer(tokens).flatten(0, 1)[:, None], transformer(tokens.flatten(0, 1)[:, None]))


def test_runs_do_not_see_each_other(mixing):
    transformer, tokens = made(mixing=mixing), torch.randn(4, 2, 6, 5)
    close(transformer(tokens)[2:3], transformer(tokens[2:3]))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_last_hidden_of_padded_rows_equals_that_of_the_unpadded(dim, mixing):
    transformer, length = made(mixing=mixing), torch.tensor([1, 4, 7, 2])
    tokens = torch.randn(4, 9, dim, 5)
    found = last_hidden(transformer, tokens, length)
    assert found.shape == (4, dim, 16)
    for i, n in enumerate(length.tolist()):
        close(found[i], transformer(tokens[i : i + 1, :n].transpose(1, 2))[0, :, -1])


def test_padding_is_not_looked_at(mixing):
    transformer, length = made(mixing=mixing), torch.tensor([3, 6, 1])
    tokens = torch.randn(3, 8, 2, 5, requires_grad=True)
    padding = torch.arange(8) >= length[:, None]  # (rows, steps)
    filled = torch.where(padding[..., None, None], torch.tensor(1e3), tokens)
    close(last_hidden(transformer, filled, length), last_hidden(transformer, tokens, length))
    last_hidden(transformer, tokens, length).square().sum().backward()
    reached = tokens.grad.abs().sum((2, 3)) > 0
    torch.testing.assert_close(reached, ~padding)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width=10 and heads=4"):
        TrajectoryTransformer(5, width=10, heads=4)
