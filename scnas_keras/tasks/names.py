"""Names for flags; importing them loads no framework."""

DATA_DIR_VARIABLE = "SCNAS_DATA_DIR"
"""The environment variable that --data_dir goes before."""
SPLITS = "splits.json"
"""The file of folds that a run leaves."""
BY_PATIENT, NNUNET = SPLIT_METHODS = ("by_patient", "nnunet")
"""How cases are dealt out to folds; `tasks.splits` does it."""
ARCHITECTURE_SHARE = 0.2
"""Of a fold's training cases those on which a search trains the architecture: SCNAS'."""
KFOLD = "kfold"
"""The protocol in which every case is validated in one fold; the other is repeated holdout (`tasks.holdout`)."""
