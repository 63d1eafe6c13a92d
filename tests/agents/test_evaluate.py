import pytest

from agents.evaluate import main, scores_of, yardsticks
from agents.training.validation import ValidationSet
from pop_envs.objectives.priors import PRIORS
from pop_optimizer.checkpoint import load_checkpoint


def evaluated(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["evaluate", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    main()
    return capsys.readouterr().out


def test_scores_are_those_of_the_validation_set(checkpoint):
    optimizer, _ = load_checkpoint(checkpoint)
    chosen = ValidationSet.of("gp", budget=8, size=10)
    scores = scores_of("POP", optimizer, chosen)
    assert list(scores) == ["POP", "POP, sampled"]
    assert scores["POP"] == chosen.score(chosen.policy(optimizer, deterministic=True))
    assert scores["POP, sampled"] == chosen.score(chosen.policy(optimizer)) != scores["POP"]
    assert yardsticks(chosen)["random search"] == chosen.score(chosen.random_search())


def test_the_command_prints_each_policy_on_each_prior(checkpoint, monkeypatch, capsys):
    printed = evaluated(monkeypatch, capsys, checkpoint, "--size", 6, "--budget", 5, "--dim", 3)
    rows = [line for line in printed.splitlines() if "│" in line]
    assert len(rows) == len(PRIORS) * 6
    assert sum("sampled" in row for row in rows) == len(PRIORS)
    optimizer, _ = load_checkpoint(checkpoint)
    chosen = ValidationSet.of("wide", 5, 6, 3)
    score = scores_of("POP", optimizer, chosen)["POP"]
    assert any(f"{score.ni:.3f} ± {score.ni_error:.3f}" in row for row in rows)


def test_policies_alone_are_evaluated_where_no_yardstick_is_asked_for(checkpoint, monkeypatch, capsys):
    options = ("--size", 3, "--budget", 4, "--priors", "plain", "--no-yardsticks")
    rows = [line for line in evaluated(monkeypatch, capsys, checkpoint, *options).splitlines() if "│" in line]
    assert len(rows) == 2


def test_chosen_priors_alone_are_evaluated(checkpoint, monkeypatch, capsys):
    printed = evaluated(monkeypatch, capsys, checkpoint, "--size", 3, "--budget", 4, "--priors", "plain")
    rows = [line for line in printed.splitlines() if "│" in line]
    assert len(rows) == 6
    assert "solved to 1e-06" in printed
    assert "plain" in rows[0]
    chosen = ValidationSet.of("plain", 4, 3, 2)
    score = chosen.score(chosen.descent())
    (row,) = (row for row in rows if "descent alone" in row)
    assert f"{100 * score.solved:.1f} ± {100 * score.solved_error:.1f}" in row


def test_a_folder_without_a_checkpoint_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluated(monkeypatch, capsys, tmp_path)
    assert "no checkpoint at" in capsys.readouterr().out


def test_functions_that_do_not_exist_are_refused(checkpoint, monkeypatch, capsys):
    for setting, value in (("--first", -1), ("--size", 0)):
        with pytest.raises(SystemExit, match="2"):
            evaluated(monkeypatch, capsys, checkpoint, setting, value)
        assert f"{setting[2:]} must be" in capsys.readouterr().err
