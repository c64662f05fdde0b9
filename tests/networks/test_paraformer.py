import pytest
import torch
from stand_ins import normal, uniform

from mapsr.errors import ConfigError, WeightsError
from mapsr.networks import ParaformerSettings
from mapsr.networks.paraformer import Decoder, Transformer, resample

SMALL = {"width": 8, "encoder": "test_vit", "pretrained": False}


@pytest.fixture(scope="module")
def network():
    return ParaformerSettings(**SMALL).build(4, 5).eval()


def test_parts_of_the_published_size():
    with torch.device("meta"):
        transformer, decoder = Transformer("vit_base_patch16_224", 1024, 14), Decoder(768)
    count = {name: sum(p.numel() for p in one.parameters()) for name, one in _parts(transformer)}
    assert count == {"patches": 787_200, "dropout": 0, "vit": 85_056_000}
    assert transformer.positions.numel() == 150_528
    assert sum(p.numel() for p in decoder.parameters()) == 22_428_674


def _parts(module):
    return list(module.named_children())


def test_dropout_is_in_the_embedding_and_the_perceptron_alone():
    transformer = Transformer("test_vit", 6, 2)
    assert transformer.dropout.p == 0.1
    for block in transformer.vit["blocks"]:
        rates = [m.p for m in block.attn.modules() if isinstance(m, torch.nn.Dropout)]
        assert not any(rates)
        assert {m.p for m in block.mlp.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
        assert (block.norm1.eps, block.norm2.eps) == (1e-6, 1e-6)


def test_the_map_is_the_mean_of_the_branches(network):
    with torch.no_grad():
        outputs = network(uniform(1, 1, 4, 40, 61))
    torch.testing.assert_close(outputs.main, (outputs.cnn + outputs.vit) / 2)
    assert (outputs.cnn - outputs.vit).abs().max() > 1e-3
    assert outputs[0] is outputs.main


def test_the_first_convolution_has_no_activation(network):
    seen = []
    handle = network.trunk.blocks[0].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    image = uniform(11, 1, 4, 20, 33)
    with torch.no_grad():
        network(image)
    handle.remove()
    mean = torch.tensor([117.67, 130.39, 121.52, 162.92]).view(1, 4, 1, 1) / 255
    std = torch.tensor([39.25, 37.82, 24.24, 60.03]).view(1, 4, 1, 1) / 255
    padded = torch.nn.functional.pad((image - mean) / std, (0, 15, 0, 12), mode="replicate")
    start = network.trunk.start
    expected = torch.nn.functional.conv2d(padded, start.weight, start.bias, padding=1)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-5)
    assert seen[0].min() < 0


def test_the_assist_map_is_joined_to_the_last_block(network):
    seen = {}
    parts = {"blocks": network.trunk, "decoder": network.decoder}
    handles = [
        part.register_forward_hook(lambda *values, name=name: seen.update({name: values[2]}))
        for name, part in parts.items()
    ]
    handles.append(network.cnn.register_forward_pre_hook(lambda _, x: seen.update(joined=x[0])))
    handles.append(network.vit.register_forward_pre_hook(lambda _, x: seen.update(alone=x[0])))
    with torch.no_grad():
        network(uniform(12, 1, 4, 32, 48))
    for handle in handles:
        handle.remove()
    assist, features = seen["decoder"]
    assert len(seen["blocks"]) == 5
    assert torch.equal(seen["joined"], torch.cat([assist, seen["blocks"][-1]], dim=1))
    assert torch.equal(seen["alone"], features)


def test_reduced_maps_are_normalised_in_32_groups(network):
    norms = [m for m in network.reduction.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert [norm.num_channels for norm in norms] == [640, 1024, 1024]
    assert {(norm.num_groups, norm.eps) for norm in norms} == {(32, 1e-6)}


def test_the_decoder_climbs_past_the_reduced_maps():
    decoder = Decoder(8).eval()
    tokens = normal(6, 1, 8, 2, 3)
    half, quarter, sixteenth = (
        normal(7 + n, 1, channels, 32 // stride, 48 // stride)
        for n, (channels, stride) in enumerate(((640, 2), (1024, 4), (1024, 16)))
    )
    up = torch.nn.UpsamplingBilinear2d
    with torch.no_grad():
        x = up(scale_factor=4)(
            decoder.at_sixteenth(torch.cat([decoder.start(tokens), sixteenth], 1))
        )
        x = up(scale_factor=2)(decoder.at_quarter(torch.cat([x, quarter], 1)))
        x = torch.cat([x, half], 1)
        expected = [up(scale_factor=2)(step(x)) for step in (decoder.assist, decoder.features)]
        ours = decoder(tokens, [half, quarter, sixteenth])
    assert [tuple(one.shape) for one in ours] == [(1, 1, 32, 48), (1, 256, 32, 48)]
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_positions_start_at_zero_and_are_resampled_with_their_gradient():
    transformer = Transformer("test_vit", 6, 3)
    assert not transformer.positions.any()
    maps = normal(2, 1, 6, 2, 5)
    transformer(maps).square().sum().backward()
    assert transformer.positions.grad.any()


def test_positions_on_their_own_grid_are_left_alone():
    positions = normal(3, 1, 2, 3, 4)
    assert resample(positions, (3, 4)) is positions
    assert resample(positions, (4, 3)).shape == (1, 2, 4, 3)
    constant = torch.ones(1, 2, 3, 4)
    torch.testing.assert_close(resample(constant, (7, 2)), torch.ones(1, 2, 7, 2))


def test_positions_of_patches_are_loaded_in_place_and_the_class_token_left_out():
    import timm

    state = timm.create_model("test_vit", pretrained=False).state_dict()
    # 10 x 10 patches after a class token; each holds its number
    numbers = torch.arange(-1, 100).float().view(1, -1, 1).expand(-1, -1, 64)
    state["pos_embed"] = numbers.clone()
    transformer = Transformer("test_vit", 6, 10)
    transformer.load(state, "here")
    assert torch.equal(transformer.positions[0, 3], torch.arange(100).float().view(10, 10))
    twice = Transformer("test_vit", 6, 20)
    twice.load(state, "here")
    torch.testing.assert_close(twice.positions, resample(transformer.positions, (20, 20)))


def test_tokens_are_those_of_the_whole_transformer():
    import timm

    # without positions and a class token, timm's own model is the oracle
    theirs = timm.create_model(
        "test_vit", pretrained=False, class_token=False, global_pool="", num_classes=0
    ).eval()
    with torch.no_grad():
        theirs.pos_embed.zero_()
    ours = Transformer("test_vit", 6, 10).eval()
    ours.vit.load_state_dict(
        {k: v for k, v in theirs.state_dict().items() if k.startswith(("blocks", "norm"))}
    )
    image, maps = uniform(4, 1, 3, 160, 160), normal(5, 1, 6, 10, 10)
    with torch.no_grad():
        # both see the same patches: ours by a projection whose output is given
        patches = theirs.patch_embed.proj(image)
        ours.patches.register_forward_hook(lambda *_: patches)
        expected = theirs.forward_features(image).transpose(1, 2).unflatten(2, (10, 10))
        torch.testing.assert_close(ours(maps), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("pos_embed"), "'pos_embed' is absent or does not"),
        (
            lambda state: state.update(pos_embed=torch.zeros(1, 101, 32)),
            "'pos_embed' .* does not have 64 channels",
        ),
        (
            lambda state: state.update(pos_embed=torch.zeros(1, 100, 64)),
            "here has 100 positions, which do not form a square grid",
        ),
        (lambda state: state.update(zebra=torch.zeros(1)), "'test_vit': 1 .* first is 'zebra'"),
        (lambda state: state.pop("norm.bias"), "'test_vit': 1 .* first is 'norm.bias'"),
    ],
)
def test_a_checkpoint_of_another_transformer_is_refused(change, message):
    import timm

    state = timm.create_model("test_vit", pretrained=False).state_dict()
    change(state)
    with pytest.raises(WeightsError, match=message):
        Transformer("test_vit", 6, 10).load(state, "here")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": 100}, "network.image is 100, expected a positive multiple of 16 px"),
        ({"image": 0}, "network.image is 0"),
        ({"width": 10}, "network.width is 10, expected a positive multiple of 4"),
    ],
)
def test_paraformer_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=message):
        ParaformerSettings(**settings)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            "vit_bass_patch16_224",
            "does not have. Did you mean 'vit_base_patch16_224'",
        ),
        ("resnet18", "can't build network.encoder 'resnet18' .*proj_drop_rate"),
        ("vit_small_patch16_dinov3", "is not a vision transformer with learned positions"),
    ],
)
def test_encoders_that_are_not_transformers(encoder, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        Transformer(encoder, 6, 2)


@pytest.mark.shared
def test_a_published_transformer_is_loaded(shared):
    settings = ParaformerSettings(width=8, encoder="vit_tiny_patch16_224", weights="vit_tiny")
    network = settings.build(4, 5, str(shared / "weights"))
    assert network.weights["name"] == "vit_tiny"
    assert network.encoder.positions.std() > 0.01
