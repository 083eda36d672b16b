"""--init=search: which file it takes, and when it refuses; what is trained from it is in test_search_2d.py."""

import keras
import numpy as np
import pytest
from some_spaces import TINY, sparse_genotype, uniform_genotype

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.trained import trained_model
from scnas_keras.retrain.transfer import take_weights


@pytest.fixture
def searched(tmp_path):
    """A search's folder with what it ended with."""
    genotype = sparse_genotype(0, TINY)
    genotype.save(tmp_path / "genotype.json")
    from_genotype(genotype, 1, 2, 4).save(tmp_path / "inherited.keras")
    return tmp_path


def init_of(genotype):
    return trained_model(RetrainConfig(init="search", genotype=str(genotype)))


def test_the_folder_and_its_genotype_name_the_network_that_the_search_trained(searched):
    for named in (searched, searched / "genotype.json"):
        assert init_of(named) == searched / "inherited.keras"
    assert trained_model(RetrainConfig(genotype=str(searched))) is None


def test_another_genotype_in_the_folder_is_not_that_network(searched):
    uniform_genotype("conv_3", TINY).save(searched / "epoch_12.json")
    with pytest.raises(ConfigError, match="epoch_12.json isn't the network that the search beside it ended with. Name"):
        init_of(searched / "epoch_12.json")
    sparse_genotype(0, TINY).save(searched / "copy.json")
    assert init_of(searched / "copy.json") == searched / "inherited.keras"


def test_a_search_that_left_none_is_told(searched):
    (searched / "inherited.keras").unlink()
    with pytest.raises(ConfigError, match="inherited.keras isn't there: the search hasn't finished, or an older version"):
        init_of(searched)


def test_all_weights_of_a_search_fit_or_it_is_of_another_width(searched):
    keras.utils.set_random_seed(3)
    network = from_genotype(sparse_genotype(0, TINY), 1, 2, 4, deep_supervision=True)
    taken, left = take_weights(network, searched / "inherited.keras", of_search=True)
    assert taken and all("logits_" in line for line in left)  # heads of deep supervision, which a search has none of
    saved = keras.saving.load_model(searched / "inherited.keras")
    np.testing.assert_array_equal(network.get_layer("stem").kernel, saved.get_layer("stem").kernel)
    with pytest.raises(ConfigError, match="is of another width or of other data .*Give --width the search's"):
        take_weights(from_genotype(sparse_genotype(0, TINY), 1, 2, 8), searched / "inherited.keras", of_search=True)
