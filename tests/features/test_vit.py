from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from stand_ins import uniform

from mapsr.errors import ConfigError
from mapsr.features import ViT, ViTSettings
from mapsr.features.positions import resample_positions

# timm's smallest ViT: patches of 16 px, trained on 10 x 10 of them, 6 blocks
SMALL = "test_vit"
DINOV2 = ["vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"]


def small(**settings):
    return ViT(ViTSettings(model=SMALL, **settings))


@pytest.fixture(scope="module", params=DINOV2)
def dinov2(request):
    """DINOv2's architecture with random weights, without and with register tokens."""
    return ViT(ViTSettings(model=request.param, positions="dinov2"))


def test_prefix_tokens_are_left_out_by_their_count(dinov2):
    image = uniform(1, 1, 3, 28, 42)
    ours = dinov2(image)
    whole = dinov2._of((2, 3)).forward_features((image - dinov2.mean) / dinov2.std)
    prefix = 5 if "reg4" in dinov2.settings.model else 1
    expected = whole[:, prefix:].transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert (dinov2.stride, dinov2.dim, dinov2.bands) == (14, 384, 3)


def test_a_token_is_the_one_of_its_patch(dinov2):
    image = uniform(2, 1, 3, 42, 56)
    changed = image.clone()
    changed[..., 14:28, 42:56] = 1 - changed[..., 14:28, 42:56]  # row 1, column 3
    difference = (dinov2(changed) - dinov2(image)).norm(dim=1)[0]
    assert difference.shape == (3, 4)
    assert divmod(int(difference.argmax()), 4) == (1, 3)
    difference[1, 3] = 0
    assert difference.max() < 0.1 * (dinov2(changed) - dinov2(image)).norm(dim=1).max()


@pytest.mark.parametrize("grid", [(2, 3), (5, 4), (37, 1)])
def test_prefix_positions_stay_and_patch_positions_are_resampled(dinov2, grid):
    prefix = 0 if "reg4" in dinov2.settings.model else 1
    ours, trained = dinov2._of(grid).pos_embed, dinov2.vit.pos_embed
    assert torch.equal(ours[:, :prefix], trained[:, :prefix])
    expected = resample_positions(trained[:, prefix:], (37, 37), grid)
    torch.testing.assert_close(ours[:, prefix:], expected)


def test_the_grids_seen_before_do_not_matter():
    # 5 x 20 has as many tokens as the trained 10 x 10, which timm once took for the same grid
    sizes = [(80, 320), (160, 160), (320, 80), (32, 48), (160, 160)]
    encoder = small(positions="dinov2")
    for height, width in sizes:
        fresh = small(positions="dinov2")
        fresh.load(encoder.vit.state_dict(), "here")
        image = uniform(4, 1, 3, height, width)
        torch.testing.assert_close(encoder(image), fresh(image), rtol=1e-4, atol=1e-5)


def test_threads_that_encode_sizes_at_once_do_not_take_each_others_positions():
    """Positions were those of the size that came last."""
    encoder = small(positions="dinov2")
    images = [uniform(4, 1, 3, *size) for size in [(80, 320), (160, 80), (48, 32), (320, 80)]]
    alone = [encoder(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: list(map(encoder, images)), range(6)):
            for one, expected in zip(found, alone, strict=True):
                torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-5)


def test_weights_loaded_later_count_for_sizes_seen_before():
    encoder, other = small(positions="dinov2"), small(positions="dinov2")
    image = uniform(8, 1, 3, 48, 80)
    assert not torch.equal(encoder(image), other(image))
    encoder.load(other.vit.state_dict(), "here")
    assert torch.equal(encoder(image), other(image))


def test_on_the_trained_grid_both_ways_of_resampling_agree():
    timms = small()
    ours = small(positions="dinov2")
    ours.load(timms.vit.state_dict(), "here")
    image = uniform(5, 1, 3, 160, 160)
    torch.testing.assert_close(ours(image), timms(image))
    assert (ours(image[..., :80]) - timms(image[..., :80])).abs().max() > 1e-4


@pytest.mark.parametrize("positions", ["timm", "dinov2"])
def test_a_batch_of_two_equals_one_by_one(positions):
    encoder = small(positions=positions)
    image = uniform(6, 2, 3, 48, 80)
    both = encoder(image)
    assert both.shape == (2, 64, 3, 5)
    for part in range(2):
        alone = encoder(image[part : part + 1])
        torch.testing.assert_close(both[part : part + 1], alone, rtol=1e-4, atol=1e-5)


def test_layers_count_from_the_front_or_the_back():
    last = small()
    for layer, same in ((5, True), (-1, True), (0, False), (-6, False)):
        encoder = small(layer=layer)
        encoder.load(last.vit.state_dict(), "here")
        image = uniform(7, 1, 3, 32, 48)
        assert torch.equal(encoder(image), last(image)) is same


@pytest.mark.parametrize("layer", [6, -7])
def test_a_layer_out_of_range_is_refused(layer):
    with pytest.raises(ConfigError, match=f"backbone.layer is {layer}, but test_vit has blocks 0"):
        small(layer=layer)


def test_enlarging_makes_the_stride_smaller():
    plain, twice = small(), small(enlarge=2)
    twice.load(plain.vit.state_dict(), "here")
    image = uniform(8, 1, 3, 24, 40)
    assert twice.stride == 8
    enlarged = F.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)
    torch.testing.assert_close(twice(image), plain(enlarged))


def test_an_enlargement_with_a_fractional_stride_is_refused():
    with pytest.raises(ConfigError, match=r"enlarge=1.5 makes a patch of 16 px cover 10.6667 im"):
        small(enlarge=1.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"enlarge": 0.0}, r"backbone.enlarge is 0.0, expected a number in \(0"),
        ({"positions": "dino"}, "backbone.positions is 'dino'.*Did you mean 'dinov2'"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        ViTSettings(**settings)


def test_an_unknown_model_is_told_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"'vit_tinny_patch16_224'. Did you mean 'vit_tiny_patch"):
        ViT(ViTSettings(model="vit_tinny_patch16_224"))


@pytest.mark.parametrize("model", ["test_resnet", "vit_small_patch16_dinov3"])
def test_a_model_without_positions_on_a_grid_is_refused(model):
    with pytest.raises(ConfigError, match=f"'{model}'"):
        ViT(ViTSettings(model=model))


def test_bands_beyond_red_green_blue_are_ignored():
    encoder = small()
    image = uniform(9, 1, 4, 32, 48)
    assert torch.equal(encoder(image), encoder(image[:, :3]))


def test_a_checkpoint_goes_through_a_file_without_its_head(tmp_path):
    encoder = small()
    path = tmp_path / "trained.safetensors"
    more = {"head.weight": torch.zeros(7, 64), "mask_token": torch.zeros(1, 64)}
    save_file(encoder.vit.state_dict() | more, path)
    settings = ViTSettings(model=SMALL, weights="vit_tiny", checkpoint=str(path))
    loaded = settings.build()
    image = uniform(10, 1, 3, 32, 48)
    assert torch.equal(loaded(image), encoder(image))
    assert loaded.weights is not None
    assert loaded.weights["name"] == "trained.safetensors"
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_checkpoint_may_be_loaded_after_another_grid_was_seen():
    first, second = small(), small(positions="dinov2")
    image = uniform(11, 1, 3, 32, 48)
    second(image)
    second.load(first.vit.state_dict(), "here")
    third = small(positions="dinov2")
    third.load(first.vit.state_dict(), "here")
    assert torch.equal(second(image), third(image))


@pytest.mark.shared
def test_the_public_weights_give_the_published_tokens(shared):
    reference = load_file(shared / "reference/vit_tiny_tokens.safetensors")
    settings = ViTSettings(
        model="vit_tiny_patch16_224.augreg_in21k_ft_in1k", weights="vit_tiny", layer=7
    )
    encoder = settings.build(str(shared / "weights"))
    ours = encoder(reference["image"][None])[0]
    expected = reference["tokens"]
    largest = float(expected.abs().max())
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * largest)
