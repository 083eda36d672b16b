"""python -m scnas_keras.plan --task=TASK --data_dir=DIR --output=PLAN
python -m scnas_keras.plan --fingerprint=PLAN/fingerprint.json --output=PLAN2

Looks at all scans (fingerprint.json) and plans from what it finds (plans.json) by nnU-Net's rules: voxel spacing, normalisation,
patch, batch and stages of the network. Both files are for reading; plans.json may be edited and given to --plan of the other commands.
"""

from typing import Any

from scnas_keras.files import user_path
from scnas_keras.plan.config import PlanConfig


def plan(config: PlanConfig) -> Any:
    """See `scnas_keras.plan.runner.run_plan`, which this calls."""
    from scnas_keras.plan.runner import run_plan

    return run_plan(config)


def main(config: PlanConfig) -> None:
    from scnas_keras.reporting.plan_table import plan_table

    print(plan_table(plan(config)))
    for name in ("fingerprint.json", "plans.json"):
        print(user_path(config.output or "") / name)  # without an output, there are no plans
