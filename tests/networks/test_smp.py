"""Networks of segmentation_models_pytorch: any size, a batch of one, four bands, their licence."""

import pytest
import torch
import yaml
from torch import nn

from mapsr.errors import ConfigError, WeightsError
from mapsr.networks import SmpSettings
from mapsr.plugins import conf_folder

SMALL = [
    ("unet", "resnet18"),
    ("deeplabv3plus", "resnet18"),
    ("pspnet", "resnet18"),
    ("segformer", "tu-pvt_v2_b0"),
    ("upernet", "tu-swin_tiny_patch4_window7_224"),
]
PAPER = ("unet", "hrnet", "pspnet", "deeplabv3plus", "vit", "swin", "segformer")


@pytest.mark.parametrize(("architecture", "encoder"), SMALL)
def test_any_size_a_batch_of_one_and_four_bands_train(architecture, encoder):
    settings = SmpSettings(architecture=architecture, encoder=encoder, statistics="naip")
    network = settings.build(4, 8, seed=3)
    network.train()
    (logits,) = network(torch.rand(1, 5, 37, 70, generator=torch.Generator().manual_seed(1)))
    assert logits.shape == (1, 8, 37, 70)
    logits.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert network.encoder is network.model.encoder
    assert network.get_submodule("encoder") is network.model.encoder


def test_the_same_seed_gives_the_same_network():
    one, two, other = (SmpSettings(encoder="resnet18").build(3, 4, seed=s) for s in (5, 5, 6))
    name = "model.encoder.conv1.weight"
    assert (one.state_dict()[name] == two.state_dict()[name]).all()
    assert (one.state_dict()[name] != other.state_dict()[name]).any()


def test_padding_is_cropped_and_changes_no_pixel_of_a_whole_image():
    network = SmpSettings(encoder="resnet18").build(3, 4, seed=2).eval()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        whole = network(image)[0]
        direct = network.model((image - network.mean) / network.std)
        assert network(image[:, :, :50, :70])[0].shape == (1, 4, 50, 70)
    assert torch.equal(whole, direct)


def test_norms_behind_a_pooling_to_one_pixel_are_of_groups():
    network = SmpSettings(architecture="deeplabv3plus", encoder="resnet18").build(3, 4)
    groups = [one for one in network.modules() if isinstance(one, nn.GroupNorm)]
    assert len(groups) == 1


def test_the_papers_seven_networks_are_choices_with_a_free_licence():
    for name in PAPER:
        values = yaml.safe_load((conf_folder() / "network" / f"{name}.yaml").read_text())
        values.pop("defaults")
        assert not SmpSettings(**values).encoder.startswith("mit_")
        assert (conf_folder() / "method" / f"{name}.yaml").exists()


def test_encoders_for_research_alone_need_consent():
    with pytest.raises(ConfigError, match="licence allows research alone"):
        SmpSettings(architecture="segformer", encoder="mit_b0")
    SmpSettings(architecture="segformer", encoder="mit_b0", non_commercial=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "unett"}, "Did you mean 'unet'"),
        ({"encoder": "resnet19"}, "Did you mean 'resnet1"),
        ({"encoder": "tu-resnet18", "architecture": "dpt"}, "can't be built into"),
        ({"checkpoint": "a.pt"}, "starts from"),
    ],
)
def test_what_does_not_exist_is_said(values, message):
    with pytest.raises(ConfigError, match=message):
        SmpSettings(**values).build(3, 4)


def test_a_checkpoint_in_timms_names_is_loaded_for_four_bands(tmp_path):
    import timm
    from safetensors.torch import save_file

    model = timm.create_model("resnet18", pretrained=False)
    path = tmp_path / "resnet18.safetensors"
    save_file(model.state_dict(), path)
    settings = SmpSettings(
        encoder="resnet18", checkpoint=str(path), pretrained=True, statistics="naip"
    )
    network = settings.build(4, 5)
    first = model.state_dict()["conv1.weight"]
    found = network.encoder.state_dict()["conv1.weight"]
    assert torch.allclose(found[:, :3], first * 0.75)
    assert network.weights is not None
    state = {key: value for key, value in model.state_dict().items() if key != "bn1.bias"}
    with pytest.raises(WeightsError, match=r"is not a checkpoint of network.encoder 'resnet18'"):
        network.load_encoder(state, "here")
