"""What can be searched, as plain data: operations, cells, layouts and genotypes. Imports no framework."""
