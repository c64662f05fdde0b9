"""How far probabilities can be believed where there is no truth: the product is asked."""

import torch

from mapsr.evaluation.calibration import Reliability, product_probabilities
from mapsr.prompts import ProductPrior, Unseen, log_shares
from mapsr.settings import Plain


def product_calibration(unseen: Unseen, prior: ProductPrior) -> Plain:
    """Hold what pixels look like against the product, which did not see them.

    The probabilities of a pixel come from its looks and the classes' shares in the whole area,
    never from the product at its place, and the prompts from other chips. Together with the soft
    crosswalk they say which class the product gives the pixel, and how surely.

    Returns:
        "error", the expected calibration error; "bins", rows of mean confidence, share that was
        right and share of the pixels; "pixels", how many were asked.
    """
    looks = prior.settings.sharpness * unseen.cosine.double() + prior.area.to(unseen.cosine).log()
    shares = log_shares(prior.shares, prior.settings.floor).exp()
    frequency = torch.bincount(unseen.products.cpu(), minlength=len(shares))
    said = product_probabilities(
        looks.softmax(1).T.cpu().numpy(), shares.cpu().numpy(), frequency.numpy()
    )
    found = Reliability.of(said, unseen.products.cpu().numpy().astype("uint8"))
    return found.as_dict() | {"pixels": int(found.counts.sum())}
