import json

import pytest

from agents.training.callbacks import HISTORY
from benchmarks.curves import draw, history, main


def entry(functions, ni):
    score = {"ni": ni, "ni_error": 0.01, "log10_regret": -4.0, "log10_regret_error": 0.1}
    return {
        "gp": score,
        "wide": {**score, "ni": ni / 2},
        "plain": {**score, "ni": ni / 4},
        "functions": functions,
        "seconds": float(functions),
    }


def written(folder, *entries):
    folder.mkdir()
    (folder / HISTORY).write_text("".join(json.dumps(e) + "\n" for e in entries))
    return folder


def test_history_is_one_row_per_validation(tmp_path):
    table = history(written(tmp_path / "a", entry(0, 0.1), entry(10, 0.5)))
    assert table["functions"].tolist() == [0, 10]
    assert table["gp_ni"].tolist() == [0.1, 0.5]
    assert table["wide_ni"].tolist() == [0.05, 0.25]
    assert table["plain_ni"].tolist() == [0.025, 0.125]


def test_what_a_resumed_training_repeats_counts_once(tmp_path):
    table = history(written(tmp_path / "a", entry(0, 0.1), entry(10, 0.5), entry(20, 0.6), entry(10, 0.4)))
    assert table["functions"].tolist() == [0, 10, 20]
    assert table["gp_ni"].tolist() == [0.1, 0.4, 0.6]


def test_every_training_is_a_line_in_every_panel(tmp_path):
    runs = tuple(written(tmp_path / name, entry(0, 0.1), entry(10, 0.5), entry(20, 0.7)) for name in "ab")
    panels = draw(runs).axes
    assert len(panels) == 6
    for panel in panels:
        assert [line.get_label() for line in panel.lines] == ["a", "b"]
        assert all(line.get_xdata().tolist() == [10, 20] for line in panel.lines)
    assert panels[0].lines[0].get_ydata().tolist() == [0.5, 0.7]


def test_the_command_writes_the_figure(tmp_path, monkeypatch):
    run = written(tmp_path / "a", entry(0, 0.1), entry(10, 0.5))
    monkeypatch.setattr("sys.argv", ["curves", str(run), "--out", str(tmp_path / "new" / "curves.png")])
    main()
    assert (tmp_path / "new" / "curves.png").stat().st_size > 1000


def test_a_folder_without_a_training_is_refused(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match=r"holds no validation\.jsonl"):
        history(tmp_path)
    monkeypatch.setattr("sys.argv", ["curves", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "holds no validation.jsonl" in " ".join(capsys.readouterr().out.split())
