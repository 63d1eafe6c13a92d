import json
import os
import shlex
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from itertools import accumulate, product, takewhile
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import agents.train
from agents.train import _command, _environment, _seed_all, _vector_env, main, train
from agents.training import callbacks
from agents.training.callbacks import HISTORY, RolloutStatistics, WarmCosine, draw_paths
from agents.training.config import PRESETS, TrainConfig
from agents.training.validation import ValidationSet
from pop_envs import POPTask
from pop_envs.pop.step_rules import STEP_RULES
from pop_optimizer.checkpoint import load_checkpoint

TINY = TrainConfig().changed(
    seed=4,
    functions=32,
    minutes=5.0,
    prior="gp",
    budget=6,
    width=8,
    depth=1,
    heads=2,
    episodes=8,
    batch_episodes=4,
    epochs=1,
    validate_every=60.0,
)
SEVERAL = {"dims": (2, 3), "mixing": False}  # an update has 8 functions of two coordinates or 4 of three
METHODS = ["POP", "POP, sampled", "descent alone", "L-BFGS-B, restarted", "Adam", "random search"]
SETS = {
    "gp": (6, 2),
    "wide": (6, 2),
    "plain": (24, 8),
    "kernels": (6, 2),
}  # budgets and dimensions that are validated in
TAGS = {
    "rollout/return",
    "rollout/log10_step_size_mean",
    "rollout/log10_step_size_std",
    "rollout/share_of_long_steps",
    "time/functions",
    "time/functions_per_second",
    "train/entropy_loss",
    "train/approx_kl",
    "train/explained_variance",
    *(
        f"validation/{prior}_{measure}{whose}"
        for prior, measure, whose in product(SETS, ("ni", "log10_regret", "solved"), ("", "_adam"))
    ),
}


@pytest.fixture(scope="module", autouse=True)
def few_validation_functions():
    """And no pictures of the paths on them, which take longer than the trainings."""
    whole = ValidationSet.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationSet, "of", lambda prior, budget, size=6, dim=2: whole(prior, budget, 6, dim))
        patch.setattr(callbacks, "draw_paths", lambda *_: Figure(figsize=(1, 1)))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The configuration of a finished training, and its scores; its folder is not to be changed."""
    config = replace(TINY, out=tmp_path_factory.mktemp("runs"), validate_every=0.0, yardsticks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "draw_paths", draw_paths)
        return config, train(config)


def updates(config, functions=0):
    """The functions, coordinates and budget of each update, from the part of a training that begins there."""
    rng = np.random.default_rng(int(np.random.SeedSequence([config.seed, functions]).generate_state(3)[0]))
    while True:
        _, budget, dim = (
            choices[rng.integers(len(choices))]
            for choices in (config.priors or ("",), config.budgets or (config.task.budget,), config.dims)
        )
        rng.integers(2**31)  # the seed of its functions
        share = config.batch_episodes * config.dims[0] * config.task.budget // (dim * budget)
        yield share * config.episodes // config.batch_episodes, dim, budget


def counts(config, until, begun=0):
    """Functions after each update of the part that ends with the update that reaches so many."""
    sums = accumulate((size * budget for size, _, budget in updates(config, begun)), initial=begun * config.task.budget)
    reached = list(takewhile(lambda steps: steps < until * config.task.budget, sums))
    following = reached[-1] + next(
        size * b for k, (size, _, b) in enumerate(updates(config, begun)) if k == len(reached) - 1
    )
    return [steps // config.task.budget for steps in (*reached[1:], following)]


def set_of(prior):
    budget, dim = SETS[prior]
    return ValidationSet.of(prior, budget, dim=dim)


def weights_of(folder):
    return load_checkpoint(folder)[0].network.state_dict()


def mixes(policy):
    return all(block.mix is not None for block in policy.network.transformer.blocks)


def history_of(folder):
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def events_of(folder):
    events = EventAccumulator(str(folder / "log"))
    events.Reload()
    return events


def interrupt(patch, updates):
    """Lets the training be interrupted after so many rollouts."""
    left = [updates]
    log = RolloutStatistics._on_rollout_end

    def pressed(self):
        log(self)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    patch.setattr(RolloutStatistics, "_on_rollout_end", pressed)


def interrupted(config, capsys, updates=2):
    """Interrupts a training; returns the command line that it says to go on with."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, updates)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Interrupted, and saved." in printed
    return shlex.split(printed.split("Go on with: ")[1])


def test_a_training_leaves_a_checkpoint_with_its_card(trained):
    config, scores = trained
    optimizer, card = load_checkpoint(config.folder)
    assert config.folder == config.out / "quick-4"
    assert (card.preset, card.seed, card.functions, card.dims) == ("quick", 4, 32, (2,))
    assert card.task == optimizer.task == config.task
    assert card.policy == {"head": "options", "width": 8, "depth": 1, "heads": 2, "mixing": True, "window": 128}
    assert (card.priors, card.budgets) == ((), ())
    assert card.prior["num_features"] == 96
    assert card.seconds > 0
    assert json.loads((config.folder / "card.json").read_text())["functions"] == 32
    assert card.validation == {prior: by_method["POP"]._asdict() for prior, by_method in scores.items()}


def test_a_training_in_several_dimensions(tmp_path):
    config = replace(TINY, **SEVERAL, out=tmp_path, functions=20)
    train(config)
    reached = counts(config, 20)
    optimizer, card = load_checkpoint(config.folder)
    assert (card.dims, card.functions) == ((2, 3), reached[-1])
    assert (mixes(optimizer), card.policy["mixing"]) == (False, False)
    assert [entry["functions"] for entry in history_of(config.folder)] == [0, reached[-1]]
    events = events_of(config.folder)
    for (size, dim, _), count in zip(updates(config), reached, strict=False):
        (event,) = (e for e in events.Scalars("rollout/return" + ("_3d_6" if dim == 3 else "")) if e.step == 6 * count)
        assert np.isfinite(event.value)
        assert size == {2: 8, 3: 4}[dim]


def test_a_training_of_several_priors_and_budgets(tmp_path):
    config = replace(TINY, out=tmp_path, functions=40, priors=("wide", "plain"), budgets=(6, 12, 3))
    train(config)
    _, card = load_checkpoint(config.folder)
    assert (card.priors, card.budgets, card.functions) == (("wide", "plain"), (6, 12, 3), counts(config, 40)[-1])
    returns = {tag for tag in events_of(config.folder).Tags()["scalars"] if tag.startswith("rollout/return")}
    names = {6: "", 12: "_2d_12", 3: "_2d_3"}
    drawn = [budget for (*_, budget), _ in zip(updates(config), counts(config, 40), strict=False)]
    assert returns == {f"rollout/return{names[budget]}" for budget in drawn}
    assert len(returns) > 1


def test_the_checkpoint_is_the_policy_that_was_judged(trained):
    config, scores = trained
    optimizer, _ = load_checkpoint(config.folder)
    for prior, by_method in scores.items():
        assert list(by_method) == METHODS
        chosen = set_of(prior)
        assert by_method["POP"] == chosen.score(chosen.policy(optimizer, deterministic=True))
        assert by_method["POP, sampled"] == chosen.score(chosen.policy(optimizer))
        assert by_method["Adam"] == chosen.score(chosen.adam())
        assert by_method["descent alone"] == chosen.score(chosen.descent())


def test_without_yardsticks_the_policy_stands_beside_adam_alone(trained, tmp_path):
    _, known = trained
    for prior, by_method in train(replace(TINY, out=tmp_path, functions=8)).items():
        assert list(by_method) == ["POP", "POP, sampled", "Adam"]
        assert by_method["Adam"] == known[prior]["Adam"]


def test_tensorboard_shows_what_was_promised(trained):
    config, scores = trained
    events = events_of(config.folder)
    assert set(events.Tags()["scalars"]) >= TAGS
    assert "paths" in events.Tags()["images"]

    def last(tag):
        return events.Scalars(tag)[-1].value

    assert all(np.isfinite(last(tag)) for tag in TAGS)
    assert last("time/functions") == 32
    assert last("time/functions_per_second") > 0
    assert last("validation/gp_ni") == pytest.approx(scores["gp"]["POP"].ni)
    assert last("validation/wide_log10_regret") == pytest.approx(scores["wide"]["POP"].log10_regret)
    adam = [event.value for event in events.Scalars("validation/gp_ni_adam")]
    assert adam == pytest.approx([scores["gp"]["Adam"].ni] * len(adam))  # a line to be compared with


def test_the_history_has_a_line_for_each_validation(trained):
    config, scores = trained
    history = history_of(config.folder)
    assert [entry["functions"] for entry in history] == [0, 8, 16, 24, 32]
    assert all(history[-1][prior] == scores[prior]["POP"]._asdict() for prior in SETS)
    seconds = [entry["seconds"] for entry in history]
    assert seconds == sorted(seconds)


def test_the_figure_shows_six_landscapes_with_paths(trained):
    picture = matplotlib.image.imread(trained[0].folder / "paths.png")[..., :3]
    height, width, _ = picture.shape
    for row in range(2):
        for column in range(3):
            panel = picture[
                row * height // 2 : (row + 1) * height // 2, column * width // 3 : (column + 1) * width // 3
            ]
            assert (panel < 0.98).any(-1).mean() > 0.3  # the landscape's shades, more than lines and letters
            assert (np.ptp(panel, -1) > 0.3).sum() > 20  # the path's colours


def test_a_table_is_printed_at_the_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    train(replace(TINY, out=tmp_path, functions=8, yardsticks=True))
    printed = capsys.readouterr().out
    for word in [*METHODS, "NI", "log10 regret", "solved", "gp", "wide", "plain", "8 functions in"]:
        assert word in printed


def test_the_seed_decides_how_the_policy_learns(trained, tmp_path):
    config, _ = trained
    again, other = replace(TINY, out=tmp_path), replace(TINY, out=tmp_path, seed=5)
    train(again)
    train(other)
    first, same, another = (weights_of(c.folder) for c in (config, again, other))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(
        torch.equal(first[name], another[name]) for name in first if "norm" not in name and "bias" not in name
    )


def test_an_occupied_folder_is_refused(trained):
    config, _ = trained
    before = weights_of(config.folder)
    with pytest.raises(FileExistsError, match="holds a run: go on with --resume, or choose another --out or --seed"):
        train(config)
    assert all(torch.equal(weights, before[name]) for name, weights in weights_of(config.folder).items())


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(replace(TINY, out=tmp_path, resume=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{}, SEVERAL], ids=["one dimension", "several"])
def test_resuming_goes_on(tmp_path, changes):
    config = replace(TINY, out=tmp_path, functions=16, **changes)
    train(config)
    first, before = load_checkpoint(config.folder)[1], weights_of(config.folder)
    train(replace(config, functions=40, resume=True))
    second, after = load_checkpoint(config.folder)[1], weights_of(config.folder)
    reached = counts(config, 16)[-1]
    end = counts(config, 40, reached)[-1]
    assert (first.functions, second.functions) == (reached, end)
    assert first.dims == second.dims == config.dims
    assert second.seconds > first.seconds
    history = history_of(config.folder)
    assert [entry["functions"] for entry in history] == [0, reached, reached, end]
    assert history[2]["seconds"] >= history[1]["seconds"]
    # It began with what was saved: the same policy has the same scores.
    assert history[2]["gp"] == history[1]["gp"]
    assert not all(torch.equal(after[name], before[name]) for name in after)
    functions = [event.value for event in events_of(config.folder).Scalars("time/functions")]
    assert functions[-1] == end


@pytest.mark.parametrize("changes", [{}, SEVERAL], ids=["one dimension", "several"])
def test_a_resumed_training_meets_new_functions(tmp_path, monkeypatch, changes):
    seen = []
    log = RolloutStatistics._on_rollout_end
    monkeypatch.setattr(
        RolloutStatistics,
        "_on_rollout_end",
        lambda self: seen.append(self.model.rollout_buffer.observations[0].copy()) or log(self),
    )
    config = replace(TINY, out=tmp_path, functions=16, **changes)
    train(config)
    train(replace(config, functions=32, resume=True))
    first = counts(config, 16)
    second = counts(config, 32, first[-1])
    drawn = [*zip(updates(config), first, strict=False), *zip(updates(config, first[-1]), second, strict=False)]
    assert [obs.shape[:2] for obs in seen] == [(size, dim) for (size, dim, _), _ in drawn]
    starts = np.concatenate([obs[..., 1].ravel() for obs in seen])  # where the runs of each rollout began
    assert len(np.unique(starts)) == starts.size


def test_the_seeds_of_a_training_derive_from_its_own():
    config = replace(TINY, **SEVERAL)
    firsts, states = [], []
    for seed, functions in ((4, 0), (4, 0), (4, 8), (5, 0)):
        env = _environment(config)
        _seed_all(replace(config, seed=seed), env, functions)
        firsts.append(env.reset())
        states.append((torch.initial_seed(), int(np.random.get_state()[1][0])))  # noqa: NPY002
        env_seed, *others = np.random.SeedSequence([seed, functions]).generate_state(3).tolist()
        assert states[-1] == tuple(others)
        rng = np.random.default_rng(env_seed)
        dim = [rng.integers(n) for n in (1, 1, 2)][-1]  # of one prior, one budget and two dimensions
        alone = _vector_env(config, config.task, config.dims[dim])
        np.testing.assert_array_equal(alone.reset(seed=int(rng.integers(2**31)))[0], firsts[-1])
    np.testing.assert_array_equal(firsts[0], firsts[1])
    assert len({first.tobytes() for first in firsts}) == len(set(states)) == 3


@pytest.mark.parametrize(
    ("usual", "others", "sizes"),
    [
        ((2, 50), [(2, 50), (8, 50), (3, 50), (5, 50)], [512, 128, 340, 204]),  # 85 and 51 functions to a minibatch
        ((8, 7), [(8, 7), (2, 7)], [512, 2048]),
        ((2, 50), [(2, 20), (2, 100), (8, 200), (32, 500)], [1280, 256, 32, 4]),  # one to a minibatch at least
        ((1, 7), [(300, 7)], [4]),
    ],
)
def test_updates_of_more_coordinates_and_steps_have_fewer_functions_in_as_many_minibatches(usual, others, sizes):
    config = TrainConfig().changed(dims=(usual[0],), budget=usual[1])
    for (dim, budget), size in zip(others, sizes, strict=True):
        env = _vector_env(config, replace(config.task, budget=budget), dim)
        assert (env.num_envs, env.single_action_space.shape, env.budget) == (size, (dim,), budget)
        assert size % (config.episodes // config.batch_episodes) == 0
        if size > 4:  # the entries of an update are about as many
            assert 0 <= 1 - size * dim * budget / (512 * usual[0] * usual[1]) < 0.01


def test_priors_dimensions_and_budgets_are_drawn_for_each_update_as_often_as_they_are_named():
    config = replace(TINY, priors=("gp", "plain", "plain"), dims=(2, 2, 2, 5), budgets=(3, 6))
    env, drawn = _environment(config), []
    _seed_all(config, env, 0)
    for _ in range(240):
        obs = env.reset()
        task, dim = env.env.episodes.core.task, env.action_space.shape[0]
        assert obs.shape[:2] == (env.num_envs, dim)
        drawn.append((task.prior, dim, task.budget))
        assert replace(task, prior="gp", budget=6) == TINY.task
    expected = ({"gp": 80, "plain": 160}, {2: 180, 5: 60}, {3: 120, 6: 120})
    for found, often in zip(zip(*drawn, strict=True), expected, strict=True):
        assert Counter(found).keys() == often.keys()
        assert all(abs(Counter(found)[name] - count) < 4 * (240 / 4) ** 0.5 for name, count in often.items())


@pytest.mark.parametrize(
    ("config", "choices"),
    [
        (TrainConfig(), (("wide",), (2,), (50,))),
        (TrainConfig().changed(prior="gp", budget=9), (("gp",), (2,), (9,))),
        (TrainConfig(priors=("gp", "plain"), dims=(3, 3, 4), budgets=(5,)), (("gp", "plain"), (3, 3, 4), (5,))),
    ],
)
def test_updates_are_drawn_from_the_tasks_own_prior_and_budget_unless_there_are_more(config, choices):
    assert config.choices() == choices


@pytest.mark.parametrize(
    "changes",
    [{"learning_rate": 2e-3}, {"width": 16}, {"mixing": False}, {"dims": (2, 3)}, {"prior": "wide", "discount": 0.9}],
)
def test_other_settings_are_not_resumed(trained, changes):
    config, _ = trained
    with pytest.raises(ValueError, match=f"other settings of {', '.join(sorted(changes))}: resume with the same"):
        train(config.changed(resume=True, **changes))


@pytest.mark.parametrize("changes", [{}, SEVERAL], ids=["one dimension", "several"])
def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path, capsys, monkeypatch, changes):
    config = replace(TINY, out=tmp_path / "my runs", **changes)
    command = interrupted(config, capsys)
    saved = counts(config, 32)[1]
    assert load_checkpoint(config.folder)[1].functions == saved
    assert command[:4] == ["python", "-m", "agents.train", "quick"]
    resumed = []
    with monkeypatch.context() as patch:
        patch.setattr(agents.train, "train", resumed.append)
        main(command[3:])
    assert resumed == [replace(config, resume=True)]
    main(command[3:])
    optimizer, card = load_checkpoint(config.folder)
    assert (card.functions, card.dims) == (counts(config, 32, saved)[-1], config.dims)
    assert mixes(optimizer) == card.policy["mixing"] == config.mixing


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dims": (2, 2, 8)},
        {"priors": (), "budgets": (50, 500), "window": 7},
        {"priors": ("gp", "plain"), "budgets": ()},
        {"dims": (3,), "out": Path("my runs")},
        {"mixing": True},
        {"mixing": False},
        {"seed": 3, "step_rule": "signed", "learning_rate": 2e-4, "dims": (2,)},
    ],
)
def test_the_command_that_goes_on_stands_for_the_configuration(preset, changes, monkeypatch):
    given = []
    monkeypatch.setattr(agents.train, "train", given.append)
    config = PRESETS[preset][1].changed(**changes)
    main(shlex.split(f"{_command(config)} --resume")[3:])
    assert given == [replace(config, resume=True)]


def test_the_command_has_words_of_their_own_for_numbers_of_coordinates_and_booleans():
    quick = PRESETS["quick"][1]
    assert _command(quick) == "python -m agents.train quick"
    command = _command(replace(quick, priors=("gp", "plain"), dims=(2, 2, 8), budgets=(5, 50), mixing=False))
    assert command == "python -m agents.train quick --priors gp plain --dims 2 2 8 --budgets 5 50 --no-mixing"
    assert _command(replace(PRESETS["paper"][1], mixing=True)) == "python -m agents.train paper --mixing"


def test_the_command_line_is_interrupted_with_its_own_status(tmp_path, capsys):
    options = {"functions": 16, "budget": 3, "width": 8, "episodes": 8, "batch-episodes": 8, "out": tmp_path}
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(SystemExit) as left:
            main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    assert left.value.code == 130
    assert "Go on with" in capsys.readouterr().out


def test_time_ends_a_training(tmp_path):
    config = replace(TINY, out=tmp_path, functions=10**6, minutes=1e-9)
    train(config)
    assert load_checkpoint(config.folder)[1].functions <= 8


def test_the_paper_preset_trains(tmp_path):
    small = {name: TINY.settings()[name] for name in ("seed", "budget", "width", "depth", "heads")}
    config = PRESETS["paper"][1].changed(**small, functions=8, episodes=8, batch_episodes=8, out=tmp_path)
    train(config)
    optimizer, card = load_checkpoint(tmp_path / "paper-4")
    assert (optimizer.task.tokens, optimizer.task.step_rule, card.policy["head"]) == ("paper", "gradient", "gaussian")


def test_the_paper_preset_is_the_papers():
    paper = PRESETS["paper"][1]
    assert paper.task == POPTask(50, "gp", "improvement", "gradient", "paper")
    assert (paper.head, paper.mixing) == ("gaussian", False)


def test_the_preset_that_ships_mixes_coordinates_and_meets_several_priors_dimensions_and_budgets():
    full = PRESETS["full"][1]
    assert full.mixing
    assert all(len(set(choices)) > 1 for choices in full.choices())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["quick", "--help"], ["paper", "--help"]])
def test_help_is_given(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], PRESETS["quick"][1]),
        (["--seed", "3"], replace(PRESETS["quick"][1], seed=3)),
        (["quick", "--no-resume"], PRESETS["quick"][1]),
        (["paper", "--budget", "7"], PRESETS["paper"][1].changed(budget=7)),
        (["full", "--resume"], replace(PRESETS["full"][1], resume=True)),
        (["full", "--no-mixing"], replace(PRESETS["full"][1], mixing=False)),
        (["--dims", "2", "2", "8", "--head", "free"], replace(PRESETS["quick"][1], dims=(2, 2, 8), head="free")),
        (["--priors", "gp", "--budgets", "5", "9"], replace(PRESETS["quick"][1], priors=("gp",), budgets=(5, 9))),
    ],
)
def test_the_command_line_is_the_configuration(arguments, expected, monkeypatch):
    given = []
    monkeypatch.setattr(agents.train, "train", given.append)
    main(arguments)
    assert given == [expected]


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_named_after_themselves(name):
    assert PRESETS[name][1].preset == name
    assert PRESETS[name][1].folder.name == f"{name}-0"


def refused(capsys, *arguments):
    """What a command line that is refused prints."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert left.value.code == 2
    return " ".join(capsys.readouterr().out.split())


def test_errors_of_a_training_are_told_without_a_traceback(trained, capsys):
    config, _ = trained
    assert "holds a run" in refused(capsys, "--seed", "4", "--out", str(config.out))


@pytest.mark.parametrize("device", ["foo", "meta", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_refused(capsys, tmp_path, device):
    said = refused(capsys, "--device", device, "--out", str(tmp_path))
    assert f"--device must be one that PyTorch can use here, got '{device}'" in said


@pytest.mark.parametrize("name", ["file", "[file]", "[red]"])
def test_a_file_is_no_folder_of_runs(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("")
    assert f"--out must be a folder, and {name} is a file" in refused(capsys, "--out", name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no settings"),
        ('{"preset": "quick"}', "made by an earlier version, whose state this one cannot go on from"),
    ],
)
def test_settings_that_cannot_be_gone_on_with_are_refused(capsys, tmp_path, content, message):
    folder = tmp_path / "quick-0"
    folder.mkdir()
    (folder / "state.zip").write_bytes(b"")
    (folder / "config.json").write_text(content)
    assert message in refused(capsys, "--resume", "--out", str(tmp_path))


@pytest.mark.parametrize(("threads", "used"), [(1, 1), (3, 3), (0, os.cpu_count())])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_number_of_threads_is_left_as_it_was(tmp_path, monkeypatch, threads, used, error):
    during = []

    def trained(config):
        during.append(torch.get_num_threads())
        if error is not None:
            raise error

    monkeypatch.setattr(agents.train, "_train", trained)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(error) if error else nullcontext():
            train(replace(TINY, out=tmp_path, threads=threads))
        assert (during, torch.get_num_threads()) == ([used], 2)
    finally:
        torch.set_num_threads(before)


def test_what_belongs_to_the_process_is_left_as_it_was(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        train(replace(TINY, out=tmp_path))
        assert torch.get_num_threads() == before + 1
        assert torch.equal(torch.get_rng_state(), torch_state)
        np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"functions": 0}, "functions must be a positive integer"),
        ({"budget": 2.5}, "budget must be a positive integer"),
        ({"dims": (2, -1)}, "dims must be a positive integer, got -1"),
        ({"dims": ()}, "dims must"),
        ({"minutes": 0.0}, "minutes must be positive"),
        ({"learning_rate": -1e-3}, "learning_rate must be positive"),
        ({"clip": float("nan")}, "clip must be positive"),
        ({"episodes": 10, "batch_episodes": 4}, "episodes must be a multiple of batch_episodes, got 10 and 4"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads"),
        ({"budgets": (50, 0)}, "budgets must be a positive integer, got 0"),
        ({"window": 0}, "window must be a positive integer"),
        (
            {"tokens": "full"},
            "head=\"options\" follows descent exhausted, lowest-descent proposal, which tokens='full' lack",
        ),
        (
            {"tokens": "paper", "head": "mixture"},
            "head=\"mixture\" follows surrogate proposal, trust-region proposal, which tokens='paper' lack",
        ),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig().changed(**changes)


def test_heads_that_follow_proposals_go_with_any_step_rule():
    for head in ("mixture", "unguided_jumps", "options"):
        for step_rule in STEP_RULES:
            assert TrainConfig().changed(head=head, step_rule=step_rule).task.step_rule == step_rule


@pytest.mark.parametrize("head", ["gaussian", "free"])
def test_heads_without_read_outs_take_any_tokens(head):
    assert TrainConfig().changed(head=head, tokens="paper", step_rule="gradient").head == head


def test_bad_settings_on_the_command_line_are_told(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--episodes", "10", "--batch-episodes", "4"])
    assert left.value.code == 2
    assert "multiple of batch_episodes" in capsys.readouterr().err


def test_the_learning_rate_warms_up_and_falls_to_a_twentieth():
    schedule = WarmCosine(2e-3)
    rates = np.array([schedule(1 - progress) for progress in np.linspace(0, 1, 1001)])
    assert rates[0] == pytest.approx(2e-3 * 0.05)
    assert rates.max() == pytest.approx(2e-3, rel=0.01)
    assert 20 < rates.argmax() < 40
    assert (np.diff(rates[rates.argmax() :]) <= 0).all()
    assert rates[-1] == pytest.approx(2e-3 * 0.05)
    schedule.time_progress = 1.0  # the time is up, whatever the functions say
    assert schedule(0.5) == pytest.approx(2e-3 * 0.05)
