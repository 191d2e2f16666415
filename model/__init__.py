"""Image -> mesh, without torch."""
