"""From a map to answers: areas, agreement, accuracy with standard errors, changes, polygons."""
