"""Text forms, which are found without torch."""

import random

import pytest

from genas.spaces import open_space
from genas.spaces.definition import SPACES
from genas.spaces.text import function_of


@pytest.mark.parametrize("name", SPACES.names)
def test_genotypes_have_one_text_where_the_space_says_that_they_are_one_function(name):
    space, rng = open_space(name), random.Random(0)
    drawn = [space.sample(rng) for _ in range(300)]
    pairs = {(space.function_key(one), function_of(one.genotype)) for one in drawn}
    assert len(pairs) == len({key for key, _ in pairs}) == len({text for _, text in pairs})


def test_texts_of_other_spaces_and_malformed_ones_stand_for_themselves():
    for text in ("", "layers=3", "|nor_conv_3x3~0|", "Genotype(normal=[])"):
        assert function_of(text) == text
