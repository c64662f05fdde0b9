"""Pictures of a run: scenes, maps and truth side by side."""
