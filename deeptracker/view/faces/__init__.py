"""The faces of the cube: classes, layers and iterations, with their links and mini-sets."""
