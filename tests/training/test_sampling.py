import numpy as np
import pytest
import torch
from make_training import PRODUCT, TRUTH, make_scene, source

from mapsr.data import Scene, SceneSource
from mapsr.errors import DataError
from mapsr.geo import Window
from mapsr.progress import Quiet
from mapsr.training import LabelledScenes, TrainingSettings, sampling
from mapsr.training.draws import DrawPlan
from mapsr.training.sampling import MEMORY_MIB, Batches, ChipSampler

IDENTITY = (0, 1, 2)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    corner = (slice(0, 8), slice(0, 8))
    return (
        make_scene(folder, "whole", (40, 56), seed=0),
        make_scene(folder, "small", (13, 19), seed=1),
        make_scene(folder, "gap", (40, 56), gap=corner, seed=2),
    )


def sampler(scenes, layer="truth", learned=IDENTITY, alike=False, memory=MEMORY_MIB, **values):
    settings = TrainingSettings(**{"crop": 24, "batch": 3, "chips_per_scene": 4} | values)
    labelled = LabelledScenes(source(), scenes, layer, learned, 3, memory)
    return ChipSampler(labelled, DrawPlan(len(scenes), settings, 7, alike=alike), settings)


def equal(one, other):
    return torch.equal(one.image, other.image) and torch.equal(one.labels, other.labels)


def test_batches_stack_whatever_the_size_of_a_scene(scenes):
    batch = sampler(scenes).batch(0)
    assert batch.image.shape == (3, 3, 24, 24)
    assert batch.labels.shape == (3, 24, 24)
    assert batch.labels.dtype == torch.int64
    assert batch.image.min() >= 0
    assert batch.image.max() <= 1


def test_chips_are_windows_of_the_scene_with_its_labels(scenes):
    one = sampler(scenes[:1])
    chip = source().read(scenes[0], Window(0, 0, 40, 56))
    windows = chip.image[:3].unfold(1, 24, 1).unfold(2, 24, 1)  # (3, 17, 33, 24, 24)
    for image, labels in zip(*one.batch(3)[:2], strict=True):
        same = (windows == image[:, None, None]).all(dim=4).all(dim=3).all(dim=0)
        ((row, col),) = same.nonzero().tolist()
        assert torch.equal(labels, chip.truth[row : row + 24, col : col + 24].long())


def test_a_scene_smaller_than_the_crop_is_taken_whole_and_padded(scenes):
    batch = sampler(scenes[1:2]).batch(0)
    chip = source().read(scenes[1], Window(0, 0, 13, 19))
    assert torch.equal(batch.image[0, :, :13, :19], chip.image[:3])
    assert torch.equal(batch.labels[0, :13, :19], chip.truth.long())
    assert (batch.labels[0, 13:] == 255).all()
    assert (batch.labels[0, :, 19:] == 255).all()
    assert torch.equal(batch.image[0, :, -1, -1], chip.image[:3, -1, -1])


def test_the_coarse_product_is_learned_as_the_table_says(scenes):
    # product classes 5, 6, 7, 9 become outputs 3, 1, 2 and none
    batch = sampler(scenes[1:2], "coarse", (3, 1, 2, 255)).batch(0)
    chip = source().read(scenes[1], Window(0, 0, 13, 19))
    table = torch.tensor([3, 1, 2, 255])
    assert torch.equal(batch.labels[0, :13, :19], table[chip.coarse.long()])
    assert (batch.labels[0, :2, :3] == 255).all()


@pytest.mark.parametrize("alike", [False, True])
def test_a_step_gives_the_same_chips_however_it_is_read(scenes, alike):
    plain, direct = sampler(scenes, alike=alike), sampler(scenes, alike=alike, memory=0)
    assert not direct.scenes._keeps
    expected = [plain.batch(step) for step in range(6)]
    for step in (5, 0, 3):
        assert equal(direct.batch(step), expected[step])
    other = sampler(scenes, alike=alike, scales=(1.0,))
    other.plan = DrawPlan(3, other.settings, 8, alike=alike)
    assert not equal(other.batch(0), expected[0])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_change_nothing(scenes, workers):
    one = sampler(scenes, epochs=2)
    batches = list(Batches(one, 3, workers, Quiet()))
    assert len(batches) == len(Batches(one, 3, workers, Quiet())) == 8 - 3
    assert all(equal(batch, one.batch(3 + place)) for place, batch in enumerate(batches))


def test_small_scenes_are_decoded_once(scenes, monkeypatch):
    read = []
    plain = SceneSource.read
    monkeypatch.setattr(SceneSource, "read", lambda *args: read.append(args[1]) or plain(*args))
    one = sampler(scenes)
    for step in range(8):
        one.batch(step)
    assert sorted(scene.name for scene in read) == ["gap", "small", "whole"]


def test_what_finds_no_room_is_read_by_windows(scenes):
    sizes = [40 * 56 * 13, 13 * 19 * 13]
    labelled = LabelledScenes(source(), scenes, "truth", IDENTITY, 3)
    labelled._room = sizes[0] + sizes[1]
    assert labelled._choose() == {0, 1}
    labelled._room = sizes[0] - 1
    assert labelled._choose() == {1}


def test_chips_with_gaps_are_drawn_again_and_counted(scenes):
    careless = sampler(scenes[2:], crop=16, batch=20)
    assert (careless.batch(0).labels == 255).any()
    assert careless.batch(0).rejected == 0
    careful = sampler(scenes[2:], crop=16, batch=20, reject=True)
    batch = careful.batch(0)
    assert not (batch.labels == 255).any()
    assert batch.rejected > 0


def test_padding_is_no_gap(scenes):
    batch = sampler(scenes[1:2], reject=True).batch(0)
    assert batch.rejected == 0
    assert (batch.labels == 255).any()


@pytest.mark.parametrize(("crop", "tried"), [(38, "all 100 random chips"), (64, "its only chip")])
def test_a_scene_full_of_gaps_is_an_error_that_names_the_keys(scenes, crop, tried):
    one = sampler(scenes[2:], crop=crop, reject=True)
    one.scenes._table[:] = 255
    message = rf"Scene 'gap' has gaps .* in {tried}: set training.reject=false.*now {crop}"
    with pytest.raises(DataError, match=message):
        one.batch(0)


def test_chips_of_one_class_are_avoided(scenes):
    # a window of 12 x 12 in a scene of blocks of 20 x 28 often holds a single class
    plain, mixed = (sampler(scenes[:1], crop=12, batch=30, most_of_class=m) for m in (1.0, 0.75))
    shares = [
        np.mean([float((one == one.mode().values.mode().values).float().mean()) for one in labels])
        for labels in (plain.batch(0).labels, mixed.batch(0).labels)
    ]
    assert shares[1] < shares[0] - 0.1


def test_enlarged_chips_show_less(scenes):
    large = sampler(scenes[:1], crop=32, scales=(4.0,)).batch(0)
    assert large.labels.shape == (3, 32, 32)
    # labels come in blocks of 4 x 4
    assert torch.equal(
        large.labels, large.labels[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2)
    )
    small = sampler(scenes[:1], crop=32, scales=(0.5,)).batch(0)
    # 64 px of the scene are more than it has: 40 x 56 become 20 x 28
    assert (small.labels[:, 20:] == 255).all()
    assert (small.labels[:, :20, :28] != 255).all()


def test_a_mosaic_has_parts_of_several_scenes(scenes):
    batch = sampler(scenes[:2], mosaic=1.0, batch=12).batch(0)
    whole = sampler(scenes[:2], batch=12).batch(0)
    assert not torch.equal(batch.image, whole.image)
    assert batch.image.shape == whole.image.shape
    # padding of the small scene ends somewhere within
    partly = ((batch.labels == 255).flatten(1).float().mean(1) % 1 > 0).sum()
    assert partly > 3


@pytest.mark.parametrize("layer", ["coarse", "truth"])
def test_a_scene_without_labels_is_refused(scenes, layer):
    bare = Scene("bare", scenes[0].image, None, None)
    with pytest.raises(DataError, match=rf"'bare' has no {layer} labels to train on.*data.{layer}"):
        LabelledScenes(source(), [scenes[0], bare], layer, IDENTITY, 3)
    unread = SceneSource(
        255.0, TRUTH if layer == "truth" else None, PRODUCT if layer == "coarse" else None
    )
    with pytest.raises(DataError, match=f"'whole' has no {layer} labels"):
        LabelledScenes(unread, scenes[:1], layer, IDENTITY, 3)


def test_no_scene_is_refused():
    with pytest.raises(DataError, match="no scene to train on"):
        LabelledScenes(source(), [], "truth", IDENTITY, 3)


def test_chips_reach_the_first_and_the_last_row_and_column(scenes, monkeypatch):
    one = sampler(scenes[:1], crop=38, batch=8)  # of 40 x 56 px
    seen = []
    read = one.scenes.read
    monkeypatch.setattr(
        one.scenes, "read", lambda number, window: (seen.append(window), read(number, window))[1]
    )
    for step in range(20):
        one.batch(step)
    assert {window.row for window in seen} == {0, 1, 2}
    assert {window.col for window in seen} == set(range(19))


def test_a_chip_of_one_class_is_taken_after_ten_draws(scenes, monkeypatch):
    monkeypatch.setattr(sampling, "largest_share", lambda labels: 1.0)
    batch = sampler(scenes[:1], crop=16, most_of_class=0.5).batch(0)
    assert batch.rejected == 3 * 9


def test_a_scene_of_gaps_alone_ends_after_a_hundred_draws(scenes, monkeypatch):
    looked = []
    monkeypatch.setattr(sampling, "has_gaps", lambda patch: looked.append(1) or True)
    with pytest.raises(DataError):
        sampler(scenes[:1], crop=16, batch=1, reject=True).batch(0)
    assert len(looked) == 100
