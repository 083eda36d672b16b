"""`scnas select` in little time: training runs of three seconds count as long enough, two updates as enough, and a worker
that says nothing for ten seconds as gone."""

from scnas_keras import options, select
from scnas_keras.select import budget, machines, scheduler, setting


def main():
    budget.LEAST_TRAINING = budget.LEAST_FIRST = 3.0
    scheduler._FEWEST_UPDATES = 2
    setting.STARTING = 5.0
    machines._MEASURED_STEPS = 2
    machines.LEASE, machines.HEARTBEAT, machines.PAUSE = 10.0, 2.0, 0.5
    options.run(select.SelectConfig, select.main, select.__doc__)


if __name__ == "__main__":
    main()
