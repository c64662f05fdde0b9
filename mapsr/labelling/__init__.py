"""Labels voted out of many historical products, as EcoVision's initial and expanded labelling."""
