"""speed=fast: what it changes, what it leaves, and where it can't do what was asked."""

import logging
from types import SimpleNamespace

import pytest
import torch
from make_chips import NAMES
from stand_ins import normal, random_anyup, uniform

from mapsr.data import Chip
from mapsr.errors import ConfigError
from mapsr.features import ViT, ViTSettings
from mapsr.geo import Window
from mapsr.legends import LandClass, Legend
from mapsr.methods import ComputeSettings, MethodParts, Runtime
from mapsr.methods.kmeans import KMeansSettings
from mapsr.methods.speed import FastSettings, Pace, pace_of
from mapsr.prompts import ClassPrompts
from mapsr.refine import RefineSettings, refine
from mapsr.region import answers
from mapsr.settings import chosen
from mapsr.upsample import (
    AnyUpSettings,
    BilateralSettings,
    EnlargedOperator,
    JafarSettings,
    LocalOperator,
    NafSettings,
    NearestSettings,
)

CPU = torch.device("cpu")
MODEL = "vit_tiny_patch16_224"
SIZE = (61, 94)  # neither side a multiple of the patch of 16 px
TARGET = Legend(
    "toy", "toy", "drawn", tuple(LandClass(i, n, (i, 0, 0)) for i, n in enumerate(NAMES))
)
GRAPH = {"kind": "graph", "segments": 2000, "neighbours": 40}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of a ViT and an AnyUp of random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(50)
    torch.save(ViT(ViTSettings(MODEL)).vit.state_dict(), folder / "vit.pth")
    torch.save(random_anyup(51).state_dict(), folder / "anyup.pth")
    return folder


@pytest.fixture(
    params=[("int8", "bfloat16"), ("bfloat16",), ("int8",), ()],
    ids=["both", "bfloat16", "int8", "neither"],
)
def able(request, monkeypatch):
    """What a processor has instructions for."""
    names = {"int8": "avx512_vnni", "bfloat16": "avx512_bf16"}
    found = {name: kind in request.param for kind, name in names.items()} | {"avx2": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    return request.param


def parts(weights, speed=None, **changes):
    choice = {
        "method": {"kind": "mapsr"},
        "backbone": {
            "kind": "vit",
            "model": MODEL,
            "layer": 1,
            "weights": "vit_tiny",
            "checkpoint": str(weights / "vit.pth"),
        },
        "upsampler": {"kind": "anyup", "checkpoint": str(weights / "anyup.pth")},
        "prompts": {"kind": "coarse"},
        "refine": GRAPH,
    } | changes
    if speed is not None:
        choice["speed"] = speed
    return MethodParts(**{name: chosen(name, values) for name, values in choice.items()})


def built(weights, speed=None, **changes):
    method = parts(weights, speed, **changes).build(Runtime(CPU), TARGET)
    method.use(ClassPrompts(normal(52, 2, 192), torch.ones(2, dtype=torch.int64)))
    return method


def chip():
    blocks = uniform(53, 4, 8, 12).repeat_interleave(8, 1).repeat_interleave(8, 2)
    image, valid = blocks[:, : SIZE[0], : SIZE[1]], torch.ones(SIZE, dtype=torch.bool)
    valid[:5, :7] = False
    return Chip("one", Window(0, 0, *SIZE), image, valid, None, None)


def score(method):
    return method.score([chip()])["map"]


def test_exact_is_what_it_was_before_there_was_a_choice(weights):
    method, one = built(weights), chip()
    with torch.no_grad():
        features = method.extractor([one])
        found = method.prompts.cosine(features)[..., : SIZE[0], : SIZE[1]]
        expected = refine(
            features, found, one.image[None], one.valid[None], chosen("refine", GRAPH)
        )
    assert isinstance(features.operator, LocalOperator)
    assert torch.equal(score(method), expected)
    exact = built(weights, {"kind": "exact"})
    assert torch.equal(score(exact), expected)
    assert exact.facts()["speed"] == {"encoder": "float32", "upsampler": "float32", "guide": 1}


FACTS = {
    ("int8", "int8", "bfloat16"): ("int8, bfloat16", "bfloat16", None),
    ("int8", "bfloat16"): ("bfloat16", "bfloat16", "int8, so bfloat16 is used instead"),
    ("int8", "int8"): ("int8, float32", "float32", "bfloat16, so float32 is used instead"),
    ("int8",): ("float32", "float32", "int8 or bfloat16, so float32 is used instead"),
    ("bfloat16", "int8", "bfloat16"): ("bfloat16", "bfloat16", None),
    ("bfloat16", "bfloat16"): ("bfloat16", "bfloat16", None),
    ("bfloat16", "int8"): ("float32", "float32", "bfloat16, so float32 is used instead"),
    ("bfloat16",): ("float32", "float32", "bfloat16, so float32 is used instead"),
}
"""What was asked for and what the processor has; what the encoder and AnyUp multiply, and why."""


@pytest.mark.parametrize("asked", ["int8", "bfloat16"])
def test_small_numbers_where_the_processor_has_them_else_larger_ones_with_a_note(
    weights, able, asked, caplog
):
    only = {"guide": 1, "neighbours": 1000, "rounds": 10, "tolerance": 1e-6, "precision": asked}
    with caplog.at_level(logging.WARNING, "mapsr"):
        method = built(weights, {"kind": "fast"} | only)
    facts, exact = method.facts()["speed"], score(built(weights))
    encoder, upsampler, why = FACTS[asked, *able]
    said = [record.getMessage() for record in caplog.records]
    note = f"this processor is not known to have instructions for {why}"
    assert said == ([f"speed=fast: {note}"] if why else [])
    assert facts == {"encoder": encoder, "upsampler": upsampler, "guide": 1} | (
        {"note": note} if why else {}
    )
    assert method.extractor.encoder.products == encoder
    if encoder == "float32":
        assert torch.equal(score(method), exact)
    else:
        assert not torch.equal(score(method), exact)
        torch.testing.assert_close(score(method), exact, rtol=0, atol=0.03)


def test_int8_is_left_to_torch_where_it_compiles_the_encoder(weights, able):
    pace = pace_of(parts(weights, {"kind": "fast"}), CPU, compiled=True)
    assert pace.linear == pace.encoder
    assert pace.linear == (torch.bfloat16 if "bfloat16" in able else torch.float32)


def test_a_gpu_is_not_asked_for_int8(weights, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    pace = pace_of(parts(weights, {"kind": "fast"}), torch.device("cuda"))
    assert pace == Pace(torch.bfloat16, torch.bfloat16, torch.bfloat16, 2)


def test_float32_can_be_asked_for_and_needs_no_note(weights, able, caplog):
    method = built(weights, {"kind": "fast", "precision": "float32", "guide": 1})
    assert method.facts()["speed"] == {"encoder": "float32", "upsampler": "float32", "guide": 1}
    assert method.extractor.encoder.products == "float32" and not caplog.records


@pytest.mark.parametrize("nodes", ["superpixels", "none"])
def test_the_upsampler_sees_a_smaller_image_and_every_pixel_has_a_score(weights, nodes):
    graph = GRAPH | {"nodes": nodes}
    method = built(weights, {"kind": "fast", "precision": "float32"}, refine=graph)
    operator = method.extractor([chip()]).operator
    assert isinstance(operator, EnlargedOperator)
    assert operator.size == (64, 96) and operator.inner.size == (32, 48)
    fast, exact = score(method), score(built(weights, refine=graph))
    assert fast.shape == exact.shape == (1, 2, *SIZE)
    assert torch.isfinite(fast).all()
    assert not torch.equal(fast, exact)
    # each node's score is its own and its neighbours', of which there are fewer
    assert (fast - exact).abs().mean() < (0.3 if nodes == "superpixels" else 0.1) * exact.std()


def test_without_superpixels_colours_carry_scores_to_the_pixels(weights):
    """They came in blocks of 2 x 2 px else."""
    graph = GRAPH | {"nodes": "none"}
    found = score(built(weights, {"kind": "fast", "precision": "float32"}, refine=graph))
    assert (found[..., 0:60:2, 0:94:2] != found[..., 1:61:2, 1:94:2]).float().mean() > 0.9


def test_a_chip_of_few_pixels_a_token_keeps_a_pixel_a_token(weights):
    method = built(weights, {"kind": "fast", "precision": "float32", "guide": 4})
    tokens = normal(54, 1, 192, 12, 20)
    operator = method.extractor._operator(uniform(55, 1, 3, 24, 100), tokens)
    assert operator.inner.size == (12, 25) and operator.size == (24, 100)


def test_the_graph_has_fewer_neighbours_and_a_coarser_end():
    fast = FastSettings(neighbours=20, tolerance=1e-3)
    eased = fast.eased(RefineSettings(neighbours=100, alpha=0.7))
    assert (eased.neighbours, eased.tolerance, eased.alpha) == (20, 1e-3, 0.7)
    assert eased.precision == "bfloat16" and eased.rounds == 5
    assert fast.eased(RefineSettings(rounds=3)).rounds == 3
    assert FastSettings(precision="float32").eased(RefineSettings()).precision == "float32"
    eased = fast.eased(RefineSettings(neighbours=10, tolerance=0.01))
    assert (eased.neighbours, eased.tolerance) == (10, 0.01)


def test_what_has_no_network_stays_as_it_is(able):
    plain = MethodParts(
        method=chosen("method", {"kind": "mapsr"}),
        backbone=chosen("backbone", {"kind": "texture"}),
        upsampler=chosen("upsampler", {"kind": "bilateral"}),
        refine=RefineSettings(),
        speed=FastSettings(),
    )
    assert pace_of(plain, CPU) == Pace()


def test_speed_is_refused_where_it_would_do_nothing():
    with pytest.raises(ConfigError, match=r"speed= is set, but the method has no encoder"):
        MethodParts(method=KMeansSettings(), speed=FastSettings())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"precision": "int4"}, r"speed\.precision"),
        ({"guide": 5}, r"speed\.guide"),
        ({"neighbours": 0}, r"speed\.neighbours"),
        ({"rounds": 0}, r"speed\.rounds"),
        ({"tolerance": 0.0}, r"speed\.tolerance"),
    ],
)
def test_values_that_can_not_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        chosen("speed", {"kind": "fast"} | values)


def test_what_speed_may_change_of_each_part():
    coarsens = {AnyUpSettings: True, JafarSettings: True, NafSettings: True}
    coarsens |= {BilateralSettings: False, NearestSettings: False}
    for kind, may in coarsens.items():
        assert getattr(kind, "coarsens", False) is may
    assert AnyUpSettings.halves and ViTSettings.halves


@pytest.mark.parametrize("compiles", [True, False])
def test_a_maps_record_says_what_a_compiled_encoder_multiplies(weights, able, compiles):
    """It said int8 where torch compiled the encoder in bfloat16."""
    compute = ComputeSettings(device="cpu", compile=compiles)
    making = SimpleNamespace(
        fitted=SimpleNamespace(parts=parts(weights, {"kind": "fast"})),
        settings=SimpleNamespace(compute=compute),
    )
    pace = pace_of(making.fitted.parts, CPU, compiled=compiles)
    assert answers._speed(making)["speed"] == pace.facts()
    assert not compiles or "int8," not in pace.facts()["encoder"]
