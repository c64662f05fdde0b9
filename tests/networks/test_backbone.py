import pytest
import torch
from stand_ins import normal, uniform

from mapsr.errors import ConfigError, WeightsError
from mapsr.networks.backbone import Backbone, repeat_bands


@pytest.mark.parametrize(
    ("model", "count", "channels", "strides", "parameters"),
    [
        ("resnet18", 4, [64, 128, 256, 512], [4, 8, 16, 32], 11_176_512),
        ("efficientvit_l2", 3, [128, 256, 512], [8, 16, 32], 49_090_208),
        ("efficientvim_m4", 3, [224, 320, 512], [16, 32, 64], 18_031_365),
    ],
)
def test_maps_of_the_published_encoders(model, count, channels, strides, parameters):
    with torch.device("meta"):
        encoder = Backbone(model, 3, count)
        maps = encoder(torch.empty(2, 3, 64, 128))
    assert encoder.channels == channels
    expected = [(2, c, 64 // s, 128 // s) for c, s in zip(channels, strides, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    assert sum(p.numel() for p in encoder.parameters()) == parameters


@pytest.fixture(scope="module")
def trained():
    """timm's smallest ResNet with a classifier, and its state dict."""
    import timm

    model = timm.create_model("test_resnet", pretrained=False, num_classes=4).eval()
    return model, model.state_dict()


def test_maps_are_those_of_the_whole_model(trained):
    model, state = trained
    encoder = Backbone("test_resnet", 3, 2).eval()
    encoder.load(state, "here")
    image = uniform(1, 1, 3, 48, 80)
    expected = model.forward_intermediates(image, intermediates_only=True)[-2:]
    for ours, theirs in zip(encoder(image), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_counts_of_batches_may_be_absent(trained):
    state = {k: v for k, v in trained[1].items() if not k.endswith("num_batches_tracked")}
    Backbone("test_resnet", 3, 2).load(state, "here")


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_bands_are_repeated_in_their_order(trained, bands):
    encoder = Backbone("test_resnet", bands, 2)
    encoder.load(trained[1], "here")
    first = trained[1]["conv1.0.weight"]
    ours = encoder.body.state_dict()["conv1.0.weight"]
    for band in range(bands):
        torch.testing.assert_close(ours[:, band], first[:, band % 3] * 3 / bands)
    # a checkpoint that already has these bands is taken as it is
    again = Backbone("test_resnet", bands, 2)
    again.load(encoder.body.state_dict(), "here")
    assert torch.equal(again.body.state_dict()["conv1.0.weight"], ours)


def test_repeated_bands_keep_the_response_to_a_grey_image():
    weight = normal(2, 5, 3, 2, 2)
    torch.testing.assert_close(repeat_bands(weight, 6).sum(1), weight.sum(1))


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda state: state.pop("bn1.bias"), "bn1.bias"),
        (lambda state: state.update(zebra=torch.zeros(1)), "zebra"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), "bn1.bias"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(trained, change, first):
    state = dict(trained[1])
    change(state)
    message = f"here.pth is not .* 'test_resnet': 1 entries do not fit, the first is '{first}'"
    with pytest.raises(WeightsError, match=message):
        Backbone("test_resnet", 3, 2).load(state, "here.pth")


@pytest.mark.parametrize(
    ("model", "maps", "message"),
    [
        ("efficientvit_l22", 3, "which timm .* does not have. Did you mean 'efficientvit_l2'"),
        ("efficientvim_m4", 4, "has 3 maps, but 4 are needed"),
        ("resnet18.nobody", 4, "timm can't build network.encoder 'resnet18.nobody'"),
    ],
)
def test_models_that_do_not_fit(model, maps, message):
    with torch.device("meta"), pytest.raises(ConfigError, match=message):
        Backbone(model, 3, maps)
