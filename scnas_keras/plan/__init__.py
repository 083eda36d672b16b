"""scnas plan --task=TASK --data_dir=DIR --output=PLAN
scnas plan --fingerprint=PLAN/fingerprint.json --output=PLAN2

Plans voxel spacing, normalisation, patch and batch from your scans by nnU-Net's rules. Looks at all of them (fingerprint.json), and writes
what follows, the stages of the network too (plans.json). Both files are for reading; plans.json may be edited and given to --plan of the
other commands.
"""

from typing import Any

from scnas_keras.files import user_path
from scnas_keras.plan.config import PlanConfig
from scnas_keras.planning.names import PLANS
from scnas_keras.preprocessing.names import FINGERPRINT


def plan(config: PlanConfig) -> Any:
    """See `scnas_keras.plan.runner.run_plan`, which this calls."""
    from scnas_keras.plan.runner import run_plan

    return run_plan(config)


def main(config: PlanConfig) -> str | None:
    from scnas_keras.declarations import config_of
    from scnas_keras.options import parse
    from scnas_keras.reporting.plan_table import plan_table
    from scnas_keras.runs.following import following

    made = plan(config)
    print(plan_table(made))
    for name in (FINGERPRINT, PLANS):
        print(user_path(config.output or "") / name)  # without an output, there are no plans
    if config.fingerprint:  # of data that may be elsewhere
        return None
    plans = user_path(config.output or "") / PLANS
    usual = parse(config_of("select"), ["", *([f"--task={config.task}"] if config.task else [])]).configuration
    there = {} if usual in made.configurations else {"configuration": next(iter(made.configurations))}
    return following("select", config, plan=plans, **there, workdir="runs/selected", budget_minutes=100)
