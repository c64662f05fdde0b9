"""What the mapping benchmark maps: drawn rasters of any size, and methods without a fit."""

from pathlib import Path

import numpy as np
import torch
from affine import Affine

from mapsr.data.landscape import Canvas, draw_landscape
from mapsr.features import TextureSettings, ViT, ViTSettings
from mapsr.geo import Grid, ImageReader, Window, WindowSettings, image_info, window_writer
from mapsr.geo.projections import epsg
from mapsr.legends import load_legend
from mapsr.mapping import MapJob, MapPlan, Output, Raster, Score
from mapsr.methods import FeatureExtractor, MapSR
from mapsr.methods.extractor import compiled
from mapsr.progress import Watch
from mapsr.prompts import ClassPrompts, CoarsePromptSettings
from mapsr.refine import RefineSettings
from mapsr.upsample import AnyUp, BilateralSettings

LEGEND = load_legend("chesapeake4")
_TILE_PX = 512
SCALE = 255.0
ENCODER = "vit_base_patch14_dinov2.lvd142m"


def draw_raster(path: Path, size: tuple[int, int]) -> None:
    """Write a landscape of 4 bands, repeated and mirrored up to ``size`` (H, W)."""
    tile = _landscape()
    tile = np.concatenate([tile, tile[:, :, ::-1]], axis=2)
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)  # (4, 2 x 512, 2 x 512): no hard edge
    grid = Grid(epsg(26918), Affine(1, 0, 380_000, 0, -1, 4_320_000), *size)
    side = tile.shape[1]
    with window_writer(path, grid, len(tile), "uint8", 0) as write:
        for top in range(0, size[0], side):
            for left in range(0, size[1], side):
                window = Window(top, left, min(side, size[0] - top), min(side, size[1] - left))
                write(window, tile[:, : window.height, : window.width])


def job(path: Path, out: Path, windows: WindowSettings) -> MapJob:
    """The job that maps a raster."""
    reader = ImageReader(image_info(path), None, SCALE)
    plan = MapPlan((reader.grid.height, reader.grid.width), windows)
    raster = Raster(path.name, reader, plan, (Output(),))
    return MapJob(raster, out, LEGEND, {}, overwrite=True, restart=True)


def weight_free(device: torch.device) -> Score:
    """The default method: texture statistics and bilateral attention; may be sent elsewhere."""
    encoder, upsampler = TextureSettings().build(), BilateralSettings().build(None)
    return _method(FeatureExtractor(encoder, upsampler, device, 0), RefineSettings()).score


def paper_sized(
    watch: Watch,
    memory_mib: int = 0,
    *,
    device: torch.device | None = None,
    settings: RefineSettings | None = None,
    bfloat16: bool = False,
    compile_encoder: bool = False,
) -> MapSR:
    """ViT-B/14 and AnyUp with random weights, which take the same time.

    Args:
        watch: times "encode" and "upsample", and in it "networks": the upsampler's own.
        memory_mib: for features that are needed again.
        device: where it computes; None: the CPU.
        settings: of the refinement; None: the paper's.
        bfloat16: encoder and AnyUp compute in bfloat16.
        compile_encoder: let torch compile the encoder.
    """
    torch.manual_seed(20)
    upsampler = AnyUp()
    networks = upsampler.networks

    def timed(*arguments: object) -> object:
        with watch("networks"):
            return networks(*arguments)  # type: ignore[arg-type]

    upsampler.networks = timed  # type: ignore[assignment,method-assign]
    encoder = ViT(ViTSettings(ENCODER))
    if compile_encoder:
        encoder.encode = compiled(encoder.encode)  # type: ignore[method-assign]
    device = device or torch.device("cpu")
    extractor = FeatureExtractor(encoder, upsampler, device, memory_mib, watch, bfloat16=bfloat16)
    return _method(extractor, settings or RefineSettings())


def _method(extractor: FeatureExtractor, settings: RefineSettings) -> MapSR:
    """The method without a fit: prompts are tokens of a landscape."""
    encoder, device = extractor.encoder, extractor.device
    method = MapSR(extractor, settings, LEGEND.names, CoarsePromptSettings())
    image = torch.from_numpy(_landscape()[:, :448, :448].astype(np.float32) / SCALE)
    tokens = encoder(image[None].to(device)).flatten(2)[0].T  # (N, D)
    spread = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(20))
    vectors = tokens[spread[: len(LEGEND)]].cpu()
    method.use(ClassPrompts(vectors, torch.ones(len(LEGEND), dtype=torch.int64)))
    return method


def _landscape() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    drawn = draw_landscape(Canvas(_TILE_PX, _TILE_PX, 0), np.random.default_rng(20)).image
    return np.asarray(drawn, np.uint8)
