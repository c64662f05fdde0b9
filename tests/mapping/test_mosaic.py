import pytest
import torch
from stand_ins import uniform

from mapsr.data import Chip
from mapsr.mapping import WindowSettings, map_raster
from mapsr.progress import Quiet

SIZE = (23, 37)
IMAGE = uniform(6, 3, *SIZE)


class Raster:
    """Chips of an image, with a score that looks at each pixel alone; counts what is scored."""

    def __init__(self, image=IMAGE, valid=None):
        self.image = image
        self.size = image.shape[1:]
        self.valid = torch.ones(self.size, dtype=torch.bool) if valid is None else valid
        self.scored = []
        self.batches = []

    def read(self, window):
        rows, columns = window.slices
        image, valid = self.image[:, rows, columns], self.valid[rows, columns]
        return Chip("raster", window, image, valid, None, None)

    def score(self, chips):
        self.scored += [chip.window for chip in chips]
        self.batches.append(len(chips))
        return {"map": torch.stack([chip.image for chip in chips])}

    def map(self, chip=10, overlap=3, score=None, **kind):
        settings = WindowSettings(chip, overlap)
        bands = map_raster(self.size, self.read, score or self.score, settings, Quiet(), **kind)
        return list(bands)


def whole(bands, layer="map"):
    return torch.cat([torch.from_numpy(band.labels[layer]) for band in bands])


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(("chip", "overlap"), [(10, 3), (10, 0), (10, 9), (50, 5), (23, 4), (1, 0)])
def test_a_pixelwise_score_gives_the_same_map_however_it_is_cut(chip, overlap, batch):
    raster = Raster()
    labels = whole(raster.map(chip, overlap, batch=batch))
    assert torch.equal(labels.long(), IMAGE.argmax(0))
    assert max(raster.batches) <= batch


@pytest.mark.parametrize("size", [(1, 30), (30, 1), (1, 1), (5, 64)])
def test_narrow_rasters(size):
    image = uniform(7, 3, *size)
    assert torch.equal(whole(Raster(image).map()).long(), image.argmax(0))


def test_a_constant_score_gives_a_constant_map():
    raster = Raster()

    def score(chips):
        scores = torch.tensor([0.1, 0.7, 0.2])[:, None, None].expand(3, *chips[0].valid.shape)
        return {"map": scores.expand(len(chips), -1, -1, -1)}

    assert (whole(raster.map(score=score)) == 1).all()


@pytest.mark.parametrize(("chip", "overlap"), [(10, 3), (10, 9), (7, 0), (50, 0)])
def test_bands_hold_every_row_once(chip, overlap):
    bands = Raster().map(chip, overlap)
    rows = [
        row
        for band in bands
        for row in range(band.window.row, band.window.row + band.window.height)
    ]
    assert rows == list(range(SIZE[0]))
    for band in bands:
        assert (band.window.col, band.window.width) == (0, SIZE[1])
        assert band.labels["map"].shape == (band.window.height, SIZE[1])


def test_scores_of_two_chips_are_blended_by_hand():
    # two chips of 4 px that share 2: weights 1/3 2/3 2/3 1/3 each
    raster = Raster(torch.zeros(1, 1, 6))

    def score(chips):
        first = (
            torch.tensor([[1.0], [0.0]])
            if chips[0].window.col == 0
            else torch.tensor([[0.0], [1.0]])
        )
        return {"map": first[None, :, :, None].expand(1, 2, 1, 4)}

    [band] = raster.map(4, 2, score=score)
    # in the overlap the chip wins whose inside it is
    assert band.labels["map"].tolist() == [[0, 0, 0, 1, 1, 1]]


def test_pixels_without_data_become_nodata():
    valid = uniform(8, *SIZE) > 0.3
    labels = whole(Raster(valid=valid).map())
    assert torch.equal(labels == 255, ~valid)
    assert torch.equal(labels.long()[valid], IMAGE.argmax(0)[valid])


def test_chips_without_data_are_never_scored():
    valid = torch.ones(SIZE, dtype=torch.bool)
    valid[:, 10:20] = False
    raster = Raster(valid=valid)
    labels = whole(raster.map(10, 0, batch=4))
    assert {window.col for window in raster.scored} == {0, 20, 27}
    assert (labels[:, 10:20] == 255).all() and (labels[:, :10] != 255).all()


def test_a_raster_without_any_data_has_all_layers():
    raster = Raster(valid=torch.zeros(SIZE, dtype=torch.bool))
    bands = raster.map(layers=("map", "probe"))
    for layer in ("map", "probe"):
        assert whole(bands, layer).shape == SIZE
        assert (whole(bands, layer) == 255).all()
    assert raster.scored == []


def test_a_class_without_prompt_never_wins():
    def score(chips):
        scores = torch.stack([chip.image for chip in chips])
        scores[:, 1] = float("-inf")
        return {"map": scores - 5}

    labels = whole(Raster().map(score=score)).long()
    assert torch.equal(labels, IMAGE[[0, 2]].argmax(0) * 2)


def test_a_failure_in_a_score_is_not_swallowed():
    def score(chips):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Raster().map(score=score)
