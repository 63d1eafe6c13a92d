"""Test functions, rivals and the verdict."""

from pop_envs.checks import require

require("benchmark", "joblib", "jinja2", "optuna", "pandas", "pyarrow", "scikit_posthocs", "tyro")
