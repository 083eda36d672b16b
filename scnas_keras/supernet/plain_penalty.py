"""A price on what operations cost by themselves, at fixed weights (Auto-LW-MISN, equations 5 to 12)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from scnas_keras.spaces.cost import operation_costs
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.banks import Banks

CHANNELS, SIDE = 32, 32
"""At which operations are counted: Table 1's channels, and its voxels along the first two axes, for which the paper's weights are made."""


class PlainPenalty:
    """lambda_1 E[parameters] + lambda_2 E[multiply-adds], added to the loss from which alpha learns.

    Expected over softmax(alpha), which bounds it; equations 5 and 6 write raw alphas, whose penalty has no lower bound. Summed over all
    edges of all cells, each operation at the thousand parameters and million multiply-adds of Table 1, whatever the network's own width
    and patch: at real size the penalty would swamp the loss. In 3D kernels have three axes, and voxels are as many: no table has these.

    Args:
        space: the search space.
        parameters: lambda_1, for a thousand.
        multiply_adds: lambda_2, for a million.

    Raises:
        ConfigError: an operation can't have so many channels.
    """

    def __init__(self, space: SearchSpace, parameters: float, multiply_adds: float):
        costs = operation_costs(space, CHANNELS, (SIDE, SIDE, 1)[: space.rank])
        price = {name: parameters * cost.parameters / 1e3 + multiply_adds * cost.multiply_adds / 1e6 for name, cost in costs.items()}
        places = {table.name: np.zeros(table.rows) for table in space.tables if not table.paths}
        for cell in space.placed:
            for edge in cell.edges:
                places[edge.table][edge.row] += 1
        rows = {name: counts[:, None] * [price[own] for own in space.table(name).candidates] for name, counts in places.items()}
        self._prices = [tf.constant(prices, tf.float32) for prices in Banks(space).from_tables(rows)]

    def __call__(self, alpha: Sequence[tf.Tensor]) -> tf.Tensor:
        """The penalty, from alpha [rows, candidates] for each bank."""
        return tf.add_n([tf.reduce_sum(tf.nn.softmax(own) * prices) for own, prices in zip(alpha, self._prices)])
