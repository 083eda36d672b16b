"""Which cases there are: dataset.json, layouts of folders, patients, splits, phantoms."""
