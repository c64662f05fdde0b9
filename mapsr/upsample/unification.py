"""AnyUp's first layer of tokens, which takes them at any length."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapsr import budgets

FILTER = 5


class FeatureUnification(nn.Module):
    """Turn tokens of any length into 128 channels (or others) by a learned filter bank.

    As in the published model, the responses of all channels (channel-major) are reshaped to
    128 x C before the softmax over the first and the mean over the second axis; the checkpoints
    were trained with this shape.

    Source: Wimmer et al., AnyUp, 2025, equation (1), but for the shape.
    """

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(filters, 1, FILTER, FILTER))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 128, h, w); C x 128 values per token, a few tokens at a time."""
        batch, channels, h, w = tokens.shape
        reach, filters = FILTER // 2, len(self.basis)
        around = F.pad(tokens.permute(0, 2, 3, 1), (0, 0, *(reach,) * 4))
        # a view of all neighbourhoods, (B, h, w, 5, 5, C)
        near = around.unfold(1, FILTER, 1).unfold(2, FILTER, 1).permute(0, 1, 2, 4, 5, 3)
        inside = F.pad(tokens.new_ones(1, 1, h, w), (reach,) * 4)
        share = 1 / F.conv2d(inside, torch.ones_like(self.basis[:1]))[0, 0]  # (h, w)
        bank = self.basis.flatten(1).T  # (25, 128)
        elements = budgets.RESPONSES.on(tokens)
        step = max(1, elements // (channels * filters))
        out = tokens.new_empty(batch, h, w, filters)
        for image, row, left in product(range(batch), range(h), range(0, w, step)):
            some = slice(left, left + step)
            patch = near[image, row, some] * share[row, some, None, None, None]  # (n, 5, 5, C)
            response = patch.flatten(1, 2).transpose(1, 2) @ bank  # (n, C, 128)
            out[image, row, some] = response.view(-1, filters, channels).softmax(1).mean(2)
        return out.permute(0, 3, 1, 2)
