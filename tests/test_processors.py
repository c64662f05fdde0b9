import pytest
import torch

from mapsr.processors import multiplies_bfloat16, multiplies_int8, products

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("found", "bfloat16", "int8"),
    [
        ({"avx2": True, "avx512_f": True, "amx_int8": True}, False, True),
        ({"avx2": True, "avx512_bf16": False, "avx512_vnni": False}, False, False),
        ({"avx512_bf16": True, "avx_vnni": True}, True, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True, False),
        ({"architecture": "arm64", "bf16": True}, True, False),
        ({"avx512_vnni": True}, False, True),
    ],
)
def test_the_processor_says_what_it_multiplies(monkeypatch, found, bfloat16, int8):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert multiplies_bfloat16(CPU) is bfloat16
    assert multiplies_int8(CPU) is int8
    assert not multiplies_int8(torch.device("cuda"))


def test_a_torch_that_does_not_say_counts_as_a_processor_without(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for multiplies in (multiplies_bfloat16, multiplies_int8):
        assert not multiplies(CPU)
        assert not multiplies(torch.device("meta"))


def test_a_torch_without_int8_products_counts_as_a_processor_without(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True}, raising=False)
    monkeypatch.delattr(torch, "_int_mm")
    assert not multiplies_int8(CPU)


def test_names_of_numbers():
    assert products(torch.int8, torch.bfloat16) == "int8, bfloat16"
    assert products(torch.float32, torch.float32) == "float32"
