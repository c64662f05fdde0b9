"""What people look at: tables, and figures of scenes, maps and costs."""
