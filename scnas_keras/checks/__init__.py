"""What must hold of a header, a grid, voxels and a whole data set."""
