"""NAS-Unet (Weng, Zhou, Li, Qiu, IEEE Access 7, 2019): cells that halve and cells that double, searched together."""

from scnas_keras.spaces.description import STRONGEST_TWO, Cell, CellEdge, Head, Input, Place, Stem, Table
from scnas_keras.spaces.space import SearchSpace

RANKS = (2, 3)
DOWN = ("average_pool_3", "max_pool_3", "channel_weight_down", "conv_3_rate_2", "depthwise_conv_3", "conv_3")
UP = ("channel_weight_up", "depthwise_conv_3_up", "conv_3_up", "conv_3_rate_2_up")
NORMAL = ("identity", "channel_weight", "conv_3_rate_2", "depthwise_conv_3", "shuffled_group_conv_3", "conv_3", "zero")
NODES, DEPTH = 3, 4
"""As searched by the authors' program (github.com/tianbaochou/NasUnet)."""


def build(rank: int, nodes: int = NODES, depth: int = DEPTH) -> SearchSpace:
    """The space for two spatial axes as published, and the same for three; by default with the published nodes and depth.

    Two stems, one of which halves; then some cells that halve and one more that double. A down cell reads the outputs of the two before
    it, and the edges that leave its inputs halve. An up cell reads the skip of its resolution and the cell before it, and the edges that
    leave the latter double. Edges inside of cells, and those that leave a skip, share one table, whatever the cell. As many channels at
    every level.

    Read otherwise than the program: the first stem is 3 wide as well and both are as wide as a cell's output; LeakyReLU stands before
    convolutions, not behind them; instances are normalised, not groups; pools are 3 wide; the shuffled convolution is the light spaces'
    (the program's has one group, and is a plain convolution); a dilated transposed convolution has no voxels without values.
    """
    pairs = [(source, node) for node in range(2, 2 + nodes) for source in range(node)]
    inside = {pair: row for row, pair in enumerate(pair for pair in pairs if pair[0] >= 2)}
    down, up = [], []
    for source, node in pairs:
        if source >= 2:
            shared = CellEdge(source, node, "normal", inside[source, node])
            down.append(shared)
            up.append(shared)
            continue
        down.append(CellEdge(source, node, "down", 2 * (node - 2) + source))
        of_skip = CellEdge(source, node, "normal", len(inside) + node - 2)
        up.append(of_skip if source == 0 else CellEdge(source, node, "up", node - 2))
    output = tuple(range(2, 2 + nodes))
    places = [Place("down", (Input((level - 1,), level=level), Input((level,), level=level)), level + 1) for level in range(1, depth + 1)]
    for level in range(depth, -1, -1):
        places.append(Place("up", (Input((level,)), Input((len(places) + 1,), level=level + 1)), level))
    tables = Table("down", DOWN, 2 * nodes), Table("up", UP, nodes), Table("normal", NORMAL, len(inside) + nodes)
    cells = Cell("down", 2, tuple(down), output), Cell("up", 2, tuple(up), output)
    stems, widths = (Stem(), Stem(level=1)), (1,) * (depth + 2)
    return SearchSpace("nas_unet", rank, tables, cells, tuple(places), Head((len(places) + 1,)), stems, widths, STRONGEST_TWO)
