"""Tables and figures of many runs: their cells, their results, and how they are written."""
