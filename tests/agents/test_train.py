import json
import shlex
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import agents.train
from agents.callbacks import HISTORY, RolloutStatistics, WarmCosine
from agents.checkpoint import load_checkpoint
from agents.config import PRESETS, TrainConfig
from agents.train import main, train
from agents.validation import ValidationSet

TINY = TrainConfig(
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
METHODS = ["POP", "POP, sampled", "Adam", "random search"]
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
    *(f"validation/{prior}_{figure}" for prior in ("gp", "wide") for figure in ("ni", "ni_adam", "log10_regret")),
}


@pytest.fixture(scope="module", autouse=True)
def few_validation_functions():
    whole = ValidationSet.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationSet, "of", lambda prior, budget: whole(prior, budget, size=6))
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The configuration of a finished training, and its scores; its folder is not to be changed."""
    config = replace(TINY, out=tmp_path_factory.mktemp("runs"), validate_every=0.0)
    return config, train(config)


def weights_of(folder):
    return load_checkpoint(folder)[0].policy.state_dict()


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
    assert (card.preset, card.seed, card.functions, card.budget, card.dim) == ("quick", 4, 32, 6, 2)
    assert (card.step_rule, card.tokens) == (optimizer.step_rule, optimizer.tokens) == ("quasi_newton", "full")
    assert card.policy == {"head": "mixture", "width": 8, "depth": 1, "heads": 2}
    assert card.prior["name"] == "gp"
    assert card.prior["num_features"] == 96
    assert card.seconds > 0
    assert json.loads((config.folder / "card.json").read_text())["functions"] == 32
    assert card.validation == {prior: by_method["POP"]._asdict() for prior, by_method in scores.items()}


def test_the_checkpoint_is_the_policy_that_was_judged(trained):
    config, scores = trained
    optimizer, _ = load_checkpoint(config.folder)
    for prior, by_method in scores.items():
        assert list(by_method) == METHODS
        chosen = ValidationSet.of(prior, config.budget)
        assert by_method["POP"] == chosen.score(chosen.policy(optimizer, deterministic=True))
        assert by_method["POP, sampled"] == chosen.score(chosen.policy(optimizer))
        assert by_method["Adam"] == chosen.score(chosen.adam())


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
    assert history[-1]["gp"] == scores["gp"]["POP"]._asdict()
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


def test_a_table_is_printed_at_the_end(tmp_path, capsys):
    train(replace(TINY, out=tmp_path, functions=8))
    printed = capsys.readouterr().out
    for word in [*METHODS, "NI", "log10 regret", "gp", "wide", "8 functions in"]:
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


def test_resuming_goes_on(tmp_path):
    config = replace(TINY, out=tmp_path, functions=16)
    train(config)
    first, before = load_checkpoint(config.folder)[1], weights_of(config.folder)
    train(replace(config, functions=40, resume=True))
    second, after = load_checkpoint(config.folder)[1], weights_of(config.folder)
    assert (first.functions, second.functions) == (16, 40)
    assert second.seconds > first.seconds
    history = history_of(config.folder)
    assert [entry["functions"] for entry in history] == [0, 16, 16, 40]
    assert history[2]["seconds"] >= history[1]["seconds"]
    # It began with what was saved: the same policy has the same scores.
    assert history[2]["gp"] == history[1]["gp"]
    assert not all(torch.equal(after[name], before[name]) for name in after)
    functions = [event.value for event in events_of(config.folder).Scalars("time/functions")]
    assert functions[-1] == 40


def test_a_resumed_training_meets_new_functions(tmp_path, monkeypatch):
    seen = []
    log = RolloutStatistics._on_rollout_end
    monkeypatch.setattr(
        RolloutStatistics,
        "_on_rollout_end",
        lambda self: seen.append(self.model.rollout_buffer.observations[0].copy()) or log(self),
    )
    config = replace(TINY, out=tmp_path, functions=16)
    train(config)
    train(replace(config, functions=32, resume=True))
    starts = np.stack(seen)[..., 1].reshape(4, -1)  # where the runs of each rollout began
    assert len(np.unique(starts)) == starts.size


@pytest.mark.parametrize("changes", [{"learning_rate": 2e-3}, {"width": 16}, {"prior": "wide", "discount": 0.9}])
def test_other_settings_are_not_resumed(trained, changes):
    config, _ = trained
    with pytest.raises(ValueError, match=f"other settings of {', '.join(sorted(changes))}: resume with the same"):
        train(replace(config, resume=True, **changes))


def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    config = replace(TINY, out=tmp_path / "my runs")
    command = interrupted(config, capsys)
    assert load_checkpoint(config.folder)[1].functions == 16
    assert command[:4] == ["python", "-m", "agents.train", "quick"]
    resumed = []
    with monkeypatch.context() as patch:
        patch.setattr(agents.train, "train", resumed.append)
        main(command[3:])
    assert resumed == [replace(config, resume=True)]
    main(command[3:])
    assert load_checkpoint(config.folder)[1].functions == 32


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
    small = {name: getattr(TINY, name) for name in ("seed", "budget", "width", "depth", "heads")}
    config = replace(PRESETS["paper"][1], **small, functions=8, episodes=8, batch_episodes=8, out=tmp_path)
    train(config)
    optimizer, card = load_checkpoint(tmp_path / "paper-4")
    assert (optimizer.tokens, optimizer.step_rule, card.policy["head"]) == ("paper", "gradient", "gaussian")


def test_the_paper_preset_is_the_papers():
    paper = PRESETS["paper"][1]
    expected = ("gp", "improvement", "gradient", "paper", "gaussian")
    assert (paper.prior, paper.reward, paper.step_rule, paper.tokens, paper.head) == expected


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["quick", "--help"], ["paper", "--help"]])
def test_help_is_given(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], TrainConfig()),
        (["--seed", "3"], TrainConfig(seed=3)),
        (["quick", "--no-resume"], TrainConfig()),
        (["paper", "--budget", "7"], replace(PRESETS["paper"][1], budget=7)),
        (["full", "--resume"], replace(PRESETS["full"][1], resume=True)),
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


def test_errors_of_a_training_are_told_without_a_traceback(trained):
    config, _ = trained
    with pytest.raises(SystemExit, match=r"error: .*holds a run"):
        main(["--seed", "4", "--out", str(config.out)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"functions": 0}, "functions must be a positive integer"),
        ({"budget": 2.5}, "budget must be a positive integer"),
        ({"dim": -1}, "dim must be a positive integer"),
        ({"minutes": 0.0}, "minutes must be positive"),
        ({"learning_rate": -1e-3}, "learning_rate must be positive"),
        ({"clip": float("nan")}, "clip must be positive"),
        ({"episodes": 10, "batch_episodes": 4}, "episodes must be a multiple of batch_episodes, got 10 and 4"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads"),
        ({"tokens": "paper"}, "mixture head reads the quasi-Newton step"),
        ({"step_rule": "gradient"}, "mixture head jumps by displacements"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


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
