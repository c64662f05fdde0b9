"""What people look at: figures of scenes."""
