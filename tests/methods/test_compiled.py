import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from mapsr.errors import ConfigError
from mapsr.methods.extractor import compiled


def test_a_compiled_encoder_gives_its_tokens(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda encode, **how: asked.append(how) or encode)
    image = torch.rand(2, 3, 4, 6)
    assert torch.equal(compiled(lambda one: one * 2)(image), image * 2)
    assert asked == [{"dynamic": False}]  # a kernel for each size of chips


def test_without_a_compiler_it_is_one_sentence(monkeypatch):
    def refuses(encode, **how):
        def called(image):
            raise TorchDynamoException("no C++ compiler\nand a trace")

        return called

    monkeypatch.setattr(torch, "compile", refuses)
    with pytest.raises(
        ConfigError, match=r"^compute\.compile=true, but .* \(no C\+\+ compiler\): "
    ):
        compiled(torch.relu)(torch.rand(1, 3, 4, 6))
