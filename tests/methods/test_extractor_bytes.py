import pytest
import torch
from make_chips import make_chip
from stand_ins import MeanColour

from mapsr.methods import FeatureExtractor
from mapsr.upsample import Jafar


@pytest.mark.parametrize(("memory_mib", "kept"), [(2, False), (3, True)])
def test_the_memory_counts_what_global_attention_keeps(memory_mib, kept):
    # queries of 64 x 64 px are 2 MiB; keys and tokens are more than nothing
    extractor = FeatureExtractor(MeanColour(8), Jafar(4), torch.device("cpu"), memory_mib)
    chip = make_chip(0, (64, 64))
    assert (extractor([chip]) is extractor([chip])) == kept
