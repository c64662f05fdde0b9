"""What the mapping benchmark maps: drawn rasters of any size, and methods without a fit."""

from pathlib import Path

import numpy as np
import torch
from affine import Affine

from mapsr.data.landscape import Canvas, draw_landscape
from mapsr.features import Encoder, TextureSettings, ViT, ViTSettings
from mapsr.geo import Grid, ImageReader, Window, WindowSettings, image_info, window_writer
from mapsr.geo.projections import epsg
from mapsr.legends import load_legend
from mapsr.mapping import MapJob, MapPlan, Output, Raster, Score
from mapsr.methods import FeatureExtractor, MapSR, MethodParts
from mapsr.methods.extractor import paced
from mapsr.methods.mapsr import MapSRSettings
from mapsr.methods.speed import EXACT, ExactSettings, Pace, SpeedSettings, pace_of
from mapsr.progress import Watch, unwatched
from mapsr.prompts import ClassPrompts, CoarsePromptSettings
from mapsr.refine import RefineSettings
from mapsr.upsample import AnyUp, AnyUpSettings, BilateralSettings, Upsampler

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
    return _method(TextureSettings().build(), BilateralSettings().build(None), device).score


def paper_sized(
    watch: Watch,
    memory_mib: int = 0,
    speed: SpeedSettings | None = None,
    *,
    device: torch.device | None = None,
    refine: RefineSettings | None = None,
    compile_encoder: bool = False,
) -> MapSR:
    """ViT-B/14 and AnyUp with random weights, which take the same time.

    Args:
        watch: times "encode" and "upsample", and in it "networks": the upsampler's own.
        memory_mib: for features that are needed again.
        speed: how fast it is; None: exact.
        device: where it computes; None: the CPU.
        refine: how scores are refined before ``speed`` eases that; None: as in the paper.
        compile_encoder: let torch compile the encoder.
    """
    torch.manual_seed(20)
    upsampler = AnyUp()
    networks = upsampler.networks

    def timed(*arguments: object) -> object:
        with watch("networks"):
            return networks(*arguments)  # type: ignore[arg-type]

    upsampler.networks = timed  # type: ignore[assignment,method-assign]
    settings, device = ViTSettings(ENCODER), device or torch.device("cpu")
    speed, refine = speed or ExactSettings(), refine or RefineSettings()
    encoder: Encoder = ViT(settings)
    parts = MethodParts(
        method=MapSRSettings(), backbone=settings, upsampler=AnyUpSettings(), speed=speed
    )
    pace = pace_of(parts, device, compiled=compile_encoder)
    encoder = paced(encoder, pace, compiles=compile_encoder)
    refine = speed.eased(refine)
    return _method(encoder, upsampler, device, watch, memory_mib, pace, refine)


def _method(
    encoder: Encoder,
    upsampler: Upsampler,
    device: torch.device,
    watch: Watch = unwatched,
    memory_mib: int = 0,
    pace: Pace = EXACT,
    refine: RefineSettings | None = None,
) -> MapSR:
    extractor = FeatureExtractor(encoder, upsampler, device, memory_mib, watch, pace=pace)
    refine = refine or RefineSettings()
    method = MapSR(extractor, refine, LEGEND.names, CoarsePromptSettings())
    image = torch.from_numpy(_landscape()[:, :448, :448].astype(np.float32) / SCALE)
    tokens = encoder(image[None].to(device)).flatten(2)[0].T  # (N, D)
    spread = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(20))
    vectors = tokens[spread[: len(LEGEND)]].cpu()
    method.use(ClassPrompts(vectors, torch.ones(len(LEGEND), dtype=torch.int64)))
    return method


def _landscape() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    drawn = draw_landscape(Canvas(_TILE_PX, _TILE_PX, 0), np.random.default_rng(20)).image
    return np.asarray(drawn, np.uint8)
