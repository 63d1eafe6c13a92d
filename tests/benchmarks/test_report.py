import io

import numpy as np
import pandas as pd
from rich.console import Console

from benchmarks import report, vlse
from frames import PRIOR_RESULTS, RESULTS, frame


def test_the_summary_holds_every_budget_function_and_failure():
    other = frame({"fast": {"sphere": [0.1]}, "slow": {"sphere": [0.2]}, "wild": {"sphere": [0.3]}}, budget=4)
    doubled = frame(
        {"wild": {"sphere": [0.0, 0.0], "rosenbrock": [0.0, 0.0]}}, errors={("wild", "sphere", 1)}, doubled=True
    )
    text = report.summary(pd.concat([RESULTS, other, doubled]))
    assert "## VLSE (2 functions), T = 2, 2 starts" in text
    assert "## VLSE (1 function), T = 4, 1 start" in text
    assert "[0.94, 1.00] | -4.75 [-8.0, -1.5] | 1.38 [1.2, 1.5] | -4.75 [-8.0, -1.5] | 1.75 [1.5, 2.0] |" in text
    assert "| fast | 0.900 | -1.00 | 1.00 |  | 1.00 | 0 |" in text  # one function has no interval
    assert "| sphere | bowl | 1.00 / -8.0 / 1.2 |" in text
    assert "No method differs significantly from fast, the one with the best mean rank." in text
    assert "| fast | 75 [50, 100] | 3 | 4 |" in text
    assert r"| wild | VLSE | rosenbrock | 2 | ValueError: broken \| pipe | 1 |" in text
    assert r"| wild | VLSE | sphere | 2 (strict) | ValueError: broken \| pipe | 1 |" in text


def test_the_summary_lists_the_functions_of_vlse_only():
    text = report.summary(pd.concat([frame({"good": {"sphere": [0.1]}, "bad": {"sphere": [0.2]}}), PRIOR_RESULTS]))
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    sizes = {"VLSE": "1 function", "gp, 8-D": "2 functions", "gp, 16-D": "1 function"}
    assert titles == [f"## {sample} ({size}), T = 2, 1 start" for sample, size in sizes.items()] + ["## Failed runs"]
    assert "| sphere | bowl | 0.90 / -1.0 / 1.0 | 0.80 / -0.7 / 2.0 |" in text
    assert "gp-8d-0" not in text
    assert r"| bad | gp, 8-D | gp, 8-D | 2 | ValueError: broken \| pipe | 2 |" in text
    assert "Each function" not in report.summary(PRIOR_RESULTS)
    assert "Strict" not in text


def test_the_summary_says_who_differs():
    functions = vlse.names(smooth=True)[:20]
    regrets = np.logspace(-5, -6, 20)
    values = {"best": regrets, "good": regrets * np.where(np.arange(20) < 8, 0.1, 10.0)}
    values |= {"bad": regrets * 1e2, "worse": regrets * 1e3}
    by_method = {method: {name: [y] for name, y in zip(functions, of, strict=True)} for method, of in values.items()}
    text = report.summary(frame(by_method))
    assert "best has the best mean rank and differs significantly (p < 0.05) from all others but good." in text
    assert "chi-squared 54.2" in text  # of ranks 1.4, 1.6, 3, 4: 12 (1.1² + 0.9² + 0.5² + 1.5²)


def test_the_report_fits_a_terminal(tmp_path):
    console = Console(width=80, file=io.StringIO())
    names = {"fast": "differential_evolution-tuned", "slow": "bayesian_optimization"}
    results = RESULTS.assign(method=RESULTS["method"].replace(names))
    report.report(results, tmp_path, "make benchmark", console)
    printed = console.file.getvalue()
    assert names["fast"] in printed
    assert "1.38 [1.2, 1.5]" in printed
    assert "1 run failed" in printed
    assert "…" not in printed
    written = {"summary.md", "regret.png", "ranks.png", "critical_differences.png", "report.html", "summary.json"}
    assert {path.name for path in tmp_path.iterdir()} == written
