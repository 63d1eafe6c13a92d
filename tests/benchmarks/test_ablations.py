import json
import shutil
import sys
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from agents.training import callbacks
from agents.training.callbacks import HISTORY, RolloutStatistics
from agents.training.config import TrainConfig
from agents.training.validation import ValidationSet
from benchmarks import ablations
from benchmarks.ablations import (
    BASE,
    ENDLESS,
    MEASURES,
    RESULT,
    VARIANTS,
    Study,
    draw,
    main,
    over_seeds,
    report,
    run,
    summary,
)
from pop_envs.objectives.priors import PRIORS
from pop_optimizer.checkpoint import load_checkpoint

NAMES = ("as-shipped", "free")


@pytest.fixture(scope="module", autouse=True)
def small_trainings():
    """A tiny base and trainings of 24 functions, and no pictures of their paths."""
    whole = ValidationSet.of
    base = BASE.changed(
        priors=(), dims=(2,), budgets=(), budget=4, width=8, depth=1, heads=2, episodes=8, batch_episodes=4, epochs=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationSet, "of", lambda prior, budget, size=6, dim=2: whole(prior, budget, min(size, 8), dim))
        patch.setattr(ablations, "BASE", base)
        patch.setattr(ablations, "ENDLESS", 24)
        patch.setattr(callbacks, "draw_paths", lambda *_: Figure(figsize=(1, 1)))
        yield


def small(out, **changes):
    return Study(**{"minutes": 5.0, "seeds": (0, 1), "variants": NAMES, "size": 8, "jobs": 1, "out": out, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that was run, and its results; its folder is not to be changed."""
    study = small(tmp_path_factory.mktemp("ablations"))
    return study, run(study)


@pytest.fixture(scope="module")
def made():
    """Results of all variants that were not run."""
    rng = np.random.default_rng(0)
    rows = [{"group": v.group, "variant": v.name, "seed": seed} for v in VARIANTS for seed in (0, 1, 2)]
    numbers = {name: rng.normal(size=len(rows)) for name in MEASURES}
    return pd.DataFrame(rows).assign(functions=rng.integers(10**4, 10**5, len(rows)), **numbers)


def no_training(config):
    raise AssertionError(f"{config.preset} was trained once more")


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_differs_from_the_base_in_its_changes_only(variant, monkeypatch, tmp_path):
    monkeypatch.setattr(ablations, "BASE", BASE)
    monkeypatch.setattr(ablations, "ENDLESS", ENDLESS)
    config = Study(out=tmp_path, minutes=3.0).config(variant, 2)
    assert isinstance(config, TrainConfig)
    now, base = config.lasting(), BASE.lasting()
    assert {name for name in base if now[name] != base[name]} - {"preset", "seed"} == set(variant.changes)
    assert all(config.settings()[name] == value for name, value in variant.changes.items())
    assert config.folder == tmp_path / f"{variant.name}-2"
    assert (config.threads, config.minutes, config.validate_every) == (1, 3.0, 3.0)
    assert config.functions == ENDLESS


def test_variants_are_the_base_and_one_thing_at_a_time():
    assert VARIANTS[0].changes == {}
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert [variant.name for variant in VARIANTS if len(variant.changes) > 1] == ["paper"]
    free, paper = (next(v.changes for v in VARIANTS if v.name == name) for name in ("free", "paper"))
    assert paper == {**free, "tokens": "paper"}  # what it is to be compared with
    for variant in (v for v in VARIANTS if v.group == "prior"):
        assert BASE.changed(**variant.changes).choices()[0] == (variant.name,)
    # Groups stand together.
    groups = [variant.group for variant in VARIANTS]
    assert len(dict.fromkeys(groups)) == 1 + sum(a != b for a, b in pairwise(groups))


def test_one_row_per_variant_and_seed_with_the_checkpoints_scores(finished):
    study, results = finished
    assert list(results.columns) == ["group", "variant", "seed", "functions", *MEASURES]
    assert list(zip(results["variant"], results["seed"], strict=True)) == [(n, s) for n in NAMES for s in (0, 1)]
    for row in results.to_dict("records"):
        optimizer, card = load_checkpoint(study.out / f"{row['variant']}-{row['seed']}")
        assert (card.preset, card.seed, card.functions) == (row["variant"], row["seed"], row["functions"])
        assert card.policy["head"] == ("free" if row["variant"] == "free" else "options")
        for prior, dim in product(PRIORS, (2, 8)):
            chosen = ValidationSet.of(prior, 4, 8, dim)
            score = chosen.score(chosen.policy(optimizer, deterministic=True))
            assert row[f"{prior}_{dim}d_ni"] == score.ni
            assert row[f"{prior}_{dim}d_log10_regret"] == score.log10_regret
    written = pd.read_csv(study.out / "ablations.csv")
    pd.testing.assert_frame_equal(written, results, rtol=1e-12)


def test_a_training_leaves_its_learning_curve_and_prints_into_its_own_log(finished):
    study, _ = finished
    for name in NAMES:
        folder = study.out / f"{name}-1"
        curve = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
        assert [entry["functions"] for entry in curve] == [0, 24]
        assert {*PRIORS, "seconds"} <= set(curve[-1])
        assert "Training in" in (folder / "train.log").read_text()


def test_a_finished_study_is_not_run_again(finished, monkeypatch):
    study, results = finished
    monkeypatch.setattr(ablations, "train", no_training)
    pd.testing.assert_frame_equal(run(study), results)
    assert summary(run(study), study) == summary(results, study)


RUN_ONE = ablations._run_one


def small_run(config, sets):
    """A training and its scores, in a process that knows nothing of this one's patches."""
    whole = ValidationSet.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationSet, "of", lambda prior, budget, size=6, dim=2: whole(prior, budget, min(size, 8), dim))
        patch.setattr(callbacks, "draw_paths", lambda *_: Figure(figsize=(1, 1)))
        RUN_ONE(config, sets)


def test_a_ray_cluster_equals_this_process(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "_run_one", small_run)
    ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray` brings it")
    study, results = finished
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        found = run(replace(study, seeds=(1,), variants=("free",), engine="ray", out=tmp_path))
    finally:
        ray.shutdown()
    expected = results.query("variant == 'free' and seed == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_further_variants_and_seeds_join_the_old_ones(finished, tmp_path, monkeypatch):
    study, results = finished
    study = replace(study, out=shutil.copytree(study.out, tmp_path / "copy"))
    trained = []
    monkeypatch.setattr(ablations, "_run_one", lambda config, sets: trained.append(config.folder.name))
    with pytest.raises(FileNotFoundError):  # for nothing was trained
        run(replace(study, seeds=(1, 2), variants=("signed", "free")))
    assert trained == ["signed-1", "signed-2", "free-2"]
    monkeypatch.setattr(ablations, "train", no_training)
    fewer = run(replace(study, seeds=(1,), variants=("free",)))
    assert fewer.to_dict("records") == results.query("variant == 'free' and seed == 1").to_dict("records")


def test_a_study_that_was_stopped_goes_on(tmp_path, monkeypatch):
    study = small(tmp_path, seeds=(0,))
    log, played = RolloutStatistics._on_rollout_end, []

    def pressed(self):
        log(self)
        played.append(self.clock.config.preset)
        if played.count("free") == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RolloutStatistics, "_on_rollout_end", pressed)
        with pytest.raises(KeyboardInterrupt):
            run(study)
    kept = (tmp_path / "as-shipped-0" / RESULT).read_bytes()
    assert not (tmp_path / "free-0" / RESULT).exists()
    assert load_checkpoint(tmp_path / "free-0")[1].functions == 16

    configs, train = [], ablations.train
    monkeypatch.setattr(ablations, "train", lambda config: configs.append(config) or train(config))
    results = run(study)
    assert [(config.preset, config.resume) for config in configs] == [("free", True)]
    assert list(results["functions"]) == [24, 24]
    assert (tmp_path / "as-shipped-0" / RESULT).read_bytes() == kept


def test_a_training_that_was_killed_before_its_first_save_begins_anew(tmp_path):
    study = small(tmp_path, seeds=(0,), variants=("free",))
    folder = tmp_path / "free-0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert run(study)["functions"].iloc[0] == 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 6.0}, r"minutes was 5.0 and is now 6.0\): choose another folder with --out"),
        ({"size": 9}, "size was 8 and is now 9"),
    ],
)
def test_a_folder_of_other_settings_is_refused(finished, monkeypatch, changes, message):
    study, _ = finished
    monkeypatch.setattr(ablations, "train", no_training)
    with pytest.raises(ValueError, match=message):
        run(replace(study, **changes))


def test_a_folder_of_another_base_or_of_another_variant_of_that_name_is_refused(finished, monkeypatch):
    study, _ = finished
    with monkeypatch.context() as patch:
        patch.setattr(ablations, "BASE", replace(ablations.BASE, learning_rate=0.5))
        with pytest.raises(ValueError, match=rf"learning_rate was {BASE.learning_rate} and is now 0\.5"):
            run(study)
    changed = tuple(v._replace(changes={"head": "gaussian"}) if v.name == "free" else v for v in VARIANTS)
    monkeypatch.setattr(ablations, "VARIANTS", changed)
    with pytest.raises(ValueError, match="variant free was"):
        run(study)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"variants": ("free", "fee", "fie")},
            "unknown variants: fee, fie; choose from as-shipped, improvement, .*128",
        ),
        ({"variants": ()}, "variants must name at least one"),
        ({"variants": ("free", "free")}, "variants must name at least one, and each only once"),
        ({"seeds": (1, 1)}, "seeds must name at least one, and each only once"),
        ({"seeds": (-1,)}, "seeds at least 0"),
        ({"minutes": 0.0}, "minutes must be positive"),
        ({"size": 0}, "size and jobs at least 1"),
        ({"jobs": 0}, "size and jobs at least 1"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Study(**changes)


def test_means_and_standard_deviations_are_over_seeds():
    rows = [
        {"group": "head", "variant": "free", "seed": 0, "functions": 1000},
        {"group": "head", "variant": "free", "seed": 1, "functions": 3000},
        {"group": "base", "variant": "as-shipped", "seed": 0, "functions": 5},
        {"group": "base", "variant": "as-shipped", "seed": 1, "functions": 5},
    ]
    measures = {
        "gp_2d_ni": [0.5, 0.7, 0.9, 0.9],
        "gp_2d_log10_regret": [-1.0, -2.0, -3.0, -3.5],
        "wide_2d_ni": [0.1, 0.2, 0.3, 0.4],
        "wide_2d_log10_regret": [-4.0, -4.0, -5.0, -7.0],
        "gp_8d_ni": [0.4, 0.6, 0.8, 0.8],
        "gp_8d_log10_regret": [0.0, -1.0, -2.0, -2.5],
        "wide_8d_ni": [0.0, 0.1, 0.2, 0.3],
        "wide_8d_log10_regret": [-3.0, -3.0, -4.0, -6.0],
    }
    measures |= {
        name.replace("wide", prior): [n - less for n in values]
        for prior, less in (("plain", 1), ("kernels", 2))
        for name, values in measures.items()
        if "wide" in name
    }
    results = pd.DataFrame(rows).assign(**measures)
    table = over_seeds(results)
    assert list(table.index) == [("head", "free"), ("base", "as-shipped")]  # in the order of the results
    for column in (*measures, "functions"):
        for i, name in enumerate(("free", "as-shipped")):
            values = results.loc[results["variant"] == name, column]
            assert table[column, "mean"].iloc[i] == pytest.approx(np.mean(values))
            assert table[column, "std"].iloc[i] == pytest.approx(np.std(values, ddof=1))
    text = summary(results, Study(seeds=(0, 1)))
    low, high = text.split("## 2-D")[1].split("## 8-D")
    assert "| head: free | 0.600 ± 0.141 | -1.50 ± 0.71 | 0.150 ± 0.071 | -4.00 ± 0.00 | -0.850 ± 0.071 |" in low
    assert "| head: free | 0.500 ± 0.141 | -0.50 ± 0.71 | 0.050 ± 0.071 | -3.00 ± 0.00 | -0.950 ± 0.071 |" in high
    assert low.count("| -6.00 ± 0.00 | 2,000 ± 1,414 |") == high.count("| -5.00 ± 0.00 | 2,000 ± 1,414 |") == 1
    assert "| as-shipped | 0.900 ± 0.000 | -3.25 ± 0.35 |" in text
    # One seed has no deviation.
    one = summary(results[results["seed"] == 0], Study(seeds=(0,)))
    assert "| head: free | 0.500 | -1.00 | 0.100 | -4.00 | -0.900 | -5.00 | -1.900 | -6.00 | 1,000 |" in one


def test_the_figure_has_a_row_per_variant(made):
    panels = draw(made).axes
    assert len(panels) == len(MEASURES)
    labels = [label.get_text() for label in panels[0].get_yticklabels()]
    assert labels[:2] == ["as-shipped", "reward: improvement"]
    assert len(labels) == len(set(labels)) == len(VARIANTS)
    assert labels == [line.split(" | ")[0].strip("| ") for line in summary(made, Study()).splitlines()[-len(labels) :]]
    means = made.groupby("variant")[list(MEASURES)].mean()
    for panel, column in zip(panels, MEASURES, strict=True):
        lines = {line.get_label(): line for line in panel.get_lines()}
        x, y = lines["one seed"].get_data()
        assert sorted(zip(y, x, strict=True)) == sorted(
            zip(np.repeat(range(len(VARIANTS)), 3), made[column], strict=True)
        )
        x, y = lines["mean"].get_data()
        assert list(y) == list(range(len(VARIANTS)))
        np.testing.assert_allclose(x, means.loc[[variant.name for variant in VARIANTS], column])
        assert lines["mean of as-shipped"].get_xdata()[0] == pytest.approx(means.loc["as-shipped", column])


def test_without_the_base_the_figure_has_no_line_for_it(made):
    for panel in draw(made[made["variant"] != "as-shipped"]).axes:
        assert {line.get_label() for line in panel.get_lines()} == {"one seed", "mean"}


def test_the_report_is_written_and_fits_a_terminal_of_a_hundred_columns(made, tmp_path, capsys):
    report(made, Study(out=tmp_path), Console(file=sys.stdout, width=100))
    assert (tmp_path / "ablations.md").read_text() == summary(made, Study())
    assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    means = made.groupby("variant")[["gp_2d_ni", "gp_8d_ni"]].mean()
    assert [row[0].split(": ")[-1] for row in rows] == 2 * [variant.name for variant in VARIANTS]
    assert [row[1] for row in rows] == [
        f"{mean:.3f}" for name in means for mean in means.loc[[variant.name for variant in VARIANTS], name]
    ]


def test_the_command_line_makes_everything(finished, monkeypatch, capsys):
    study, _ = finished
    monkeypatch.setattr(ablations, "train", no_training)
    options = ["--minutes", "5", "--seeds", "0", "1", "--variants", *NAMES, "--size", "8", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["ablations", *options, "--out", str(study.out)])
    main()
    printed = capsys.readouterr().out
    assert "head: free" in printed
    for name in ("ablations.csv", "ablations.md", "ablations.png"):
        assert (study.out / name).stat().st_size > 0

    monkeypatch.setattr(sys, "argv", ["ablations", *options, "--out", str(study.out), "--minutes", "1"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "holds results of other settings" in " ".join(capsys.readouterr().out.split())


def test_unknown_variants_on_the_command_line_are_told_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablations", "--variants", "fee"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    told = " ".join("".join(capsys.readouterr()).replace("│", " ").split())
    assert "unknown variants: fee; choose from as-shipped" in told
