"""What will work: of this machine and its weights, or of given rasters."""
