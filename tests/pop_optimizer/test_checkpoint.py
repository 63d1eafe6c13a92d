import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save, save_file

from pop_envs import POPTask
from pop_envs.objectives.gp_prior import GPPrior
from pop_envs.pop.rewards import LogGap
from pop_envs.pop.tokens import TOKENS
from pop_optimizer import minimize
from pop_optimizer.checkpoint import (
    CARD,
    FORMAT,
    WEIGHTS,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from pop_optimizer.networks.distributions import DISTRIBUTIONS


def saved(folder, card, seed=0):
    torch.manual_seed(seed)
    network = card.network()
    save_checkpoint(folder, network, card)
    return network


def header_of(file):
    """The file's JSON header, and where its tensors begin."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), end


def rewrite(file, **metadata):
    """Changes entries of the file's metadata; those that become None are left out."""
    kept = {**header_of(file)[0]["__metadata__"], **metadata}
    file.write_bytes(save(load(file.read_bytes()), {key: value for key, value in kept.items() if value is not None}))


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A checkpoint to damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("head", "tokens"),
    [
        (head, tokens)
        for head in DISTRIBUTIONS
        for tokens in TOKENS
        if set(DISTRIBUTIONS[head].follows) <= set(TOKENS[tokens].features)
    ],
)
@pytest.mark.parametrize("mixing", [False, True])
def test_a_round_trip_keeps_weights_and_card(tmp_path, card_of, head, tokens, mixing):
    shape = {"head": head, "width": 8, "depth": 2, "heads": 4, "mixing": mixing}
    task = POPTask(7, "wide", "log_gap", "signed", tokens)
    card = card_of(
        policy=shape,
        task=task,
        dims=(2, 2, 8),
        priors=("wide", "plain"),
        budgets=(7, 20),
        validation={"gp": {"ni": 0.5}},
    )
    policy = saved(tmp_path / "new" / "folder", card)
    optimizer, loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert loaded == card
    assert optimizer.task == task
    assert not optimizer.network.training
    expected, found = policy.state_dict(), optimizer.network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_card_that_does_not_speak_of_mixing_is_of_a_policy_without(tmp_path, card_of):
    shape = {"head": "gaussian", "width": 8, "depth": 1, "heads": 2}
    saved(tmp_path, card_of(policy=shape, task=POPTask()))
    assert all(block.mix is None for block in load_checkpoint(tmp_path)[0].network.transformer.blocks)


def test_the_card_beside_the_weights_is_the_one_inside(checkpoint, card_of):
    card = json.loads((checkpoint / CARD).read_text())
    assert card == json.loads(json.dumps(load_checkpoint(str(checkpoint))[1].record()))
    assert load_checkpoint(checkpoint)[1] == card_of()
    assert {"torch", "numpy", "gymnasium", "stable-baselines3", "pop-optimizer"} <= card["versions"].keys()


def test_the_weights_alone_are_enough(folder):
    (folder / CARD).unlink()
    assert load_checkpoint(folder)[1].seed == 3


def test_a_card_of_format_2_is_read(folder, card_of):
    card = card_of().record()
    task = card.pop("task")
    old = card | {name: task[name] for name in ("budget", "step_rule", "tokens")}
    old["prior"] = {"name": "wide", **card["prior"]}
    rewrite(folder / WEIGHTS, format="2", card=json.dumps(old))
    assert load_checkpoint(folder)[1] == card_of(task=POPTask(prior="wide", step_rule="quasi_newton", tokens="full"))


def test_a_prior_and_a_reward_of_ones_own_need_not_be_there(tmp_path, card_of):
    class Own(GPPrior):
        pass

    class Solved(LogGap):
        pass

    task = card_of().task
    saved(tmp_path, card_of(task=replace(task, prior=Own(), reward=Solved())))
    named = json.loads((tmp_path / CARD).read_text())["task"]
    assert (named["prior"], named["reward"]) == ("Own", "Solved")
    assert load_checkpoint(tmp_path)[1] == card_of(task=task)


def test_there_is_no_pickle_in_it(checkpoint):
    header, end = header_of(checkpoint / WEIGHTS)
    stored = sum(np.prod(entry["shape"]) * 4 for name, entry in header.items() if name != "__metadata__")
    assert end + stored == (checkpoint / WEIGHTS).stat().st_size  # nothing but the header and float32 numbers
    # Which of these it is depends on the first bytes, the length of the header.
    with pytest.raises((pickle.UnpicklingError, ValueError, LookupError, EOFError)):
        pickle.loads((checkpoint / WEIGHTS).read_bytes())


def test_loading_leaves_the_global_random_numbers_alone(checkpoint):
    state = torch.get_rng_state()
    load_checkpoint(checkpoint)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_byte_in_the_weights_is_noticed(folder, place):
    file = folder / WEIGHTS
    content, start = bytearray(file.read_bytes()), header_of(file)[1]
    content[start + int(place * (len(content) - 1 - start))] ^= 0x40
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged.*checksum; copy it again"):
        load_checkpoint(folder)


def test_a_flipped_bit_in_the_header_never_leads_to_other_weights(folder, card_of):
    file = folder / WEIGHTS
    whole, end = file.read_bytes(), header_of(file)[1]
    policy = load_checkpoint(folder)[0].network.state_dict()
    refused = 0
    for place in range(0, end, 7):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 7)
        file.write_bytes(content)
        try:
            optimizer, card = load_checkpoint(folder)
        except CheckpointError:
            refused += 1
            continue
        # What slips through is text for people: the network and how it is run are the same.
        assert (card.policy, card.task.tokens, card.task.step_rule) == (card_of().policy, "full", "quasi_newton")
        assert all(torch.equal(weights, policy[name]) for name, weights in optimizer.network.state_dict().items())
    assert refused > end / 7 / 2


def test_a_file_cut_anywhere_is_noticed(tmp_path, card_of):
    """At every tenth byte of a small one."""
    card = card_of(policy={"head": "gaussian", "width": 2, "depth": 1, "heads": 1}, task=POPTask())
    saved(tmp_path, card)
    whole = (tmp_path / WEIGHTS).read_bytes()
    for length in [*range(0, len(whole), 10), len(whole) - 1]:
        (tmp_path / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
            load_checkpoint(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(whole)
    assert load_checkpoint(tmp_path)[1] == card


def test_what_follows_the_end_is_noticed(folder):
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"more")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)


def test_a_hundred_flipped_bits_are_noticed_or_in_text_for_people(folder, card_of):
    file = folder / WEIGHTS
    whole, end = file.read_bytes(), header_of(file)[1]
    policy, rng, refused = load_checkpoint(folder)[0].network.state_dict(), np.random.default_rng(0), 0
    for bit in [*rng.integers(0, 8 * len(whole), 70), *rng.integers(0, 8 * end, 30)]:  # the header too is hit
        content = bytearray(whole)
        content[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(content)
        try:
            optimizer, card = load_checkpoint(folder)
        except CheckpointError:
            refused += 1
            continue
        assert bit < 8 * end
        assert (card.policy, card.task.tokens, card.task.step_rule) == (card_of().policy, "full", "quasi_newton")
        assert all(torch.equal(weights, policy[name]) for name, weights in optimizer.network.state_dict().items())
    assert refused >= 80


class Trap:
    """Runs code when it is unpickled: it touches a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def zipped(members, file):
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


FOREIGN = {
    "a pickle": lambda file, trap: file.write_bytes(pickle.dumps(Trap(trap))),
    "a pickle of the oldest protocol": lambda file, trap: file.write_bytes(pickle.dumps(Trap(trap), 0)),
    "PyTorch's": lambda file, trap: torch.save({"weights": torch.zeros(2), "code": Trap(trap)}, file),
    "PyTorch's of old": lambda file, trap: torch.save(Trap(trap), file, _use_new_zipfile_serialization=False),
    "NumPy's": lambda file, trap: np.save(file.open("wb"), np.array([Trap(trap)]), allow_pickle=True),
    "NumPy's archive": lambda file, trap: np.savez(file.open("wb"), weights=np.zeros(2)),
    "Stable-Baselines3's": lambda file, trap: zipped({"data": "{}", "policy.pth": pickle.dumps(Trap(trap))}, file),
    "an empty zip": lambda file, trap: zipped({}, file),
    "JSON": lambda file, trap: file.write_text(json.dumps({"kind": "pop", "format": "3"})),
    "text": lambda file, trap: file.write_text("weights"),
    "Python": lambda file, trap: file.write_text(f"open({str(trap)!r}, 'w')"),
    "nothing": lambda file, trap: file.write_bytes(b""),
    "zeros": lambda file, trap: file.write_bytes(bytes(10_000)),
    "ones": lambda file, trap: file.write_bytes(b"\xff" * 10_000),
    "a header longer than the file": lambda file, trap: file.write_bytes((2**40).to_bytes(8, "little") + b"{}"),
    "a header that is no JSON": lambda file, trap: file.write_bytes((4).to_bytes(8, "little") + b"{{{{"),
    "a header that is a list": lambda file, trap: file.write_bytes((2).to_bytes(8, "little") + b"[]"),
    "others' weights": lambda file, trap: save_file({"weight": torch.zeros(2, 2)}, file, {"format": "pt"}),
    "no weights": lambda file, trap: save_file({}, file, {"kind": "pop", "format": "3", "card": "{}", "sha256": ""}),
    "no card": lambda file, trap: save_file({"w": torch.zeros(2).bfloat16()}, file, {"kind": "pop", "format": "3"}),
}


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_write_is_refused_and_no_code_of_it_is_run(tmp_path, name):
    FOREIGN[name](tmp_path / WEIGHTS, tmp_path / "trap")
    with pytest.raises(CheckpointError, match=f"{WEIGHTS} (is damaged|holds weights of something else)"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError):
        minimize(lambda x: x @ x, [1.0], checkpoint=tmp_path)
    assert not (tmp_path / "trap").exists()


def test_the_trap_would_have_snapped(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "trap")))
    assert (tmp_path / "trap").exists()


def test_code_in_the_card_is_text(folder, tmp_path, card_of):
    card = card_of().record() | {"preset": f"{{__import__('pathlib').Path({str(tmp_path / 'trap')!r}).touch()}}"}
    rewrite(folder / WEIGHTS, card=json.dumps(card))
    assert load_checkpoint(folder)[1].preset == card["preset"]
    rewrite(folder / WEIGHTS, card=json.dumps(card | {"policy": {"head": "__import__('os')"}}))
    with pytest.raises(CheckpointError, match="damaged: its card"):
        load_checkpoint(folder)
    assert not (tmp_path / "trap").exists()


def test_a_folder_in_place_of_the_file_is_none(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_foreign_weights_are_refused(tmp_path, metadata):
    save_file({"weights": torch.zeros(2)}, tmp_path / WEIGHTS, metadata)
    with pytest.raises(CheckpointError, match="something else than a POP policy"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("found", ["1", str(FORMAT + 1), f"{FORMAT}.0", "", None])
def test_another_format_is_refused(folder, found):
    rewrite(folder / WEIGHTS, format=found)  # all the rest is as it has to be
    with pytest.raises(
        CheckpointError, match=rf"has format {found}, .* reads formats 2 and {FORMAT}: take the version that"
    ):
        load_checkpoint(folder)
    rewrite(folder / WEIGHTS, format=found, card="{}", sha256="another")  # or else may be anything
    with pytest.raises(CheckpointError, match=f"reads formats 2 and {FORMAT}"):
        load_checkpoint(folder)


def test_a_card_that_does_not_fit_the_weights_is_refused(folder, card_of):
    wider, mixing = (card_of(policy={**card_of().policy, **change}) for change in ({"width": 32}, {"mixing": True}))
    for card in (json.dumps(wider.record()), json.dumps(mixing.record()), json.dumps({"seed": 1}), "[]", "{", None):
        rewrite(folder / WEIGHTS, card=card)
        with pytest.raises(CheckpointError, match="damaged: its card does not describe its weights"):
            load_checkpoint(folder)


@pytest.mark.parametrize("field", ["step_rule", "tokens"])
def test_a_card_with_an_unknown_environment_is_refused(folder, card_of, field):
    card = card_of().record()
    rewrite(folder / WEIGHTS, card=json.dumps(card | {"task": card["task"] | {field: "sideways"}}))
    with pytest.raises(CheckpointError, match="card"):
        load_checkpoint(folder)


def test_no_checkpoint_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"expected a folder with {WEIGHTS}; `make train` makes one"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(("holder", "name"), [(Path, "replace"), (os, "fsync")])
def test_a_crash_within_the_writing_leaves_the_old_checkpoint_whole(tmp_path, card_of, monkeypatch, holder, name):
    old = saved(tmp_path, card_of(seed=1), seed=1).state_dict()

    def crash(*_):
        raise OSError("the power went")

    with monkeypatch.context() as broken:
        broken.setattr(holder, name, crash)
        with pytest.raises(OSError, match="power"):
            saved(tmp_path, card_of(seed=2), seed=2)
    optimizer, card = load_checkpoint(tmp_path)
    assert card.seed == json.loads((tmp_path / CARD).read_text())["seed"] == 1
    assert all(torch.equal(weights, old[name]) for name, weights in optimizer.network.state_dict().items())
    saved(tmp_path, card_of(seed=3), seed=3)
    assert load_checkpoint(tmp_path)[1].seed == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == [CARD, WEIGHTS]


def test_what_is_replaced_was_written_and_synced_before(tmp_path, monkeypatch):
    file, order = tmp_path / "file", []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: order.append(("fsync", os.fstat(fd).st_size)) or fsync(fd))
    monkeypatch.setattr(Path, "replace", lambda self, other: order.append(("replace", other)) or replace(self, other))
    write_atomically(file, b"twelve bytes")
    assert order == [("fsync", 12), ("replace", file)]
    assert file.read_bytes() == b"twelve bytes"
