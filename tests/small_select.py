"""`python -m scnas_keras.select` in little time: trainings of three seconds count as long enough, and two updates as enough."""

from scnas_keras import options, select
from scnas_keras.select import budget, racing, setting


def main():
    budget.LEAST_TRAINING = budget.LEAST_FIRST = 3.0
    racing._FEWEST_UPDATES = 2
    setting.STARTING = 5.0
    options.run(select.SelectConfig, select.main, select.__doc__)


if __name__ == "__main__":
    main()
